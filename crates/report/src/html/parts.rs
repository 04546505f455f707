//! Small pieces that all sections use.

use maud::{Markup, html};

use crate::format::{NONE, Scale};
use crate::metrics::Quantity;

/// A value with its interval below it; the reason, on hover, where there is none.
pub(crate) fn cell(quantity: &Quantity, scale: Scale) -> Markup {
    html! {
        @if quantity.value.is_none() {
            span title=[quantity.reason.as_deref()] { (NONE) }
        } @else {
            (scale.value(quantity.value))
            @if let Some(interval) = scale.interval(quantity) { span.ci { (interval) } }
        }
    }
}

/// A key number: what it is, its value and unit, its interval or the reason why it is missing.
pub(crate) fn key(label: &str, quantity: &Quantity, scale: Scale, unit: &str) -> Markup {
    html! {
        div {
            dt { (label) }
            dd {
                span.number { (scale.value(quantity.value)) @if quantity.value.is_some() { " " small { (unit) } } }
                @if let Some(interval) = scale.interval(quantity) {
                    span.ci { (interval) }
                } @else if let Some(reason) = &quantity.reason {
                    span.ci { (reason) }
                }
            }
        }
    }
}

/// A part that is folded until it is wanted, under a heading. A link to `id` unfolds it, and print shows all of it.
pub(crate) fn fold(id: &str, heading: Markup, open: bool, content: Markup) -> Markup {
    html! {
        details.fold open[open] {
            summary { (heading) }
            div id=(id) { (content) }
        }
    }
}

/// A fact in a list of facts.
pub(crate) fn fact(label: &str, value: &str) -> Markup {
    html! { div { dt { (label) } dd { (value) } } }
}
