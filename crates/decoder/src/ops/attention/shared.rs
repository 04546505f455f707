//! Attention of single tokens of several paths that begin alike: completions of one prefix, nodes of a search.
//!
//! Their queries lie side by side in a panel over the keys that they share, which are read once for all of them; behind those each row goes through
//! keys of its own as in `row`. A row sees of the panel as much as its path has in common with the first one's. All sums run on from the shared keys
//! to a row's own, in the order of the keys, so that it has the same bits here, in a `panel` and by itself.

use super::panel::{self, HALF, LANES, Seen};
use super::row::{self, Sums};
use super::{Attention, Block, Head, Out, Scratch, Views, mix};
use entrace_kernels::tile::Left;
use std::cmp::Reverse;

/// Fewest keys in common for which rows are taken together.
const MIN_SHARED: usize = 32;

/// Rows whose paths begin alike, and the keys that they share.
pub(super) struct Group<'a> {
    rows: Vec<Member<'a>>,
    /// Positions of the shared keys that any row sees.
    from: usize,
    to: usize,
}

/// A block of one row.
#[derive(Clone, Copy)]
struct Member<'a> {
    block: &'a Block,
    /// First position that it sees.
    from: usize,
    /// Positions of its path whose keys are those of the first row's path.
    shared: usize,
}

impl Member<'_> {
    /// Positions behind those shared that it sees, its own last.
    fn own(&self) -> (usize, usize) {
        (self.shared.max(self.from), self.block.n_ancestors() + 1)
    }

    fn n_own(&self) -> usize {
        let (from, to) = self.own();
        to - from
    }

    /// Shared keys that it sees.
    fn n_shared(&self) -> usize {
        self.shared.saturating_sub(self.from)
    }
}

/// Positions from the first on at which two paths have the same slots.
fn common(a: &Block, b: &Block) -> usize {
    let mut n = 0;
    for (a, b) in a.ancestors.iter().zip(&b.ancestors) {
        if a.start != b.start {
            break;
        }
        n += a.len().min(b.len());
        if a.len() != b.len() {
            break;
        }
    }
    n
}

impl<'a> Group<'a> {
    /// Groups of at most `max_rows` of these rows, and the rows that stay alone.
    pub(super) fn of(
        mut blocks: Vec<&'a Block>,
        window: Option<usize>,
        max_rows: usize,
    ) -> (Vec<Self>, Vec<&'a Block>) {
        // Paths that begin alike come together, the longest beginning first.
        blocks.sort_by_cached_key(|block| {
            let slots = block.ancestors.iter().map(|range| (range.start, range.end));
            Reverse(slots.collect::<Vec<_>>())
        });
        let mut groups: Vec<Self> = Vec::new();
        for block in blocks {
            let from = (block.n_ancestors() + 1).saturating_sub(window.unwrap_or(usize::MAX));
            let open = groups.last_mut().filter(|group| group.rows.len() < max_rows);
            if !open.is_some_and(|group| group.take(block, from)) {
                let rows = vec![Member { block, from, shared: block.n_ancestors() }];
                groups.push(Self { rows, from, to: 0 });
            }
        }
        let (groups, alone): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| group.rows.len() > 1);
        (groups, alone.into_iter().map(|group| group.rows[0].block).collect())
    }

    /// Takes a row, unless it shares too little, or much less than those before it.
    fn take(&mut self, block: &'a Block, from: usize) -> bool {
        let row = Member { block, from, shared: common(self.rows[0].block, block) };
        let enough = MIN_SHARED.max(self.to.saturating_sub(self.from) * 3 / 4);
        if row.n_shared() < enough {
            return false;
        }
        self.to = self.to.max(row.shared);
        self.from = self.from.min(from);
        self.rows[0].shared = self.to;
        self.rows.push(row);
        true
    }

    /// Keys that are gone through, for all rows.
    pub(super) fn cost(&self) -> usize {
        self.rows.iter().map(|row| row.block.n_ancestors() + 1 - row.from).sum()
    }
}

impl Attention<'_> {
    /// All rows of a group, for one head of keys and values.
    pub(super) fn shared(
        &self,
        group: &Group<'_>,
        kv_head: usize,
        views: &Views<'_>,
        scratch: &mut Scratch,
        out: &Out,
    ) {
        if group.rows.len() * self.group() <= HALF {
            self.shared_in::<HALF>(group, kv_head, views, scratch, out);
        } else {
            self.shared_in::<LANES>(group, kv_head, views, scratch, out);
        }
    }

    /// Lanes are in order of row and head.
    fn shared_in<const P: usize>(
        &self,
        group: &Group<'_>,
        kv_head: usize,
        views: &Views<'_>,
        scratch: &mut Scratch,
        out: &Out,
    ) {
        let (spec, n_heads) = (self.spec, self.group());
        let n_lanes = group.rows.len() * n_heads;
        let n_keys = group.to - group.from;
        assert!(n_lanes <= P);
        let keys = Head::new(views.keys, kv_head, spec.head_dim);
        let values = Head::new(views.values, kv_head, spec.v_head_dim);

        self.side_by_side::<P>(group, kv_head, views, scratch);
        let ranges = group.rows[0].block.ranges(group.from, group.to);
        scratch.scores.resize(n_keys * P, 0.0);
        panel::scores::<P>(&scratch.queries, keys, &ranges, &mut scratch.scores);
        let seen = group.seen::<P>(n_heads);
        let panel = scratch.scores.as_chunks_mut::<P>().0;
        let mut max = panel::hidden_max(panel, &seen, spec.softcap);

        let n_own = group.rows.iter().map(|row| row.n_own()).sum::<usize>() * n_heads;
        scratch.own_scores.resize(n_own, 0.0);
        let mut rest = scratch.own_scores.as_mut_slice();
        for (i, row) in group.rows.iter().enumerate() {
            let own;
            (own, rest) = rest.split_at_mut(row.n_own() * n_heads);
            let (from, to) = row.own();
            let queries = &scratch.rows[i * n_heads * spec.head_dim..][..n_heads * spec.head_dim];
            row::scores(queries, keys, &row.block.ranges(from, to), &mut scratch.turned, own);
            for (own, max) in own.chunks_exact_mut(to - from).zip(&mut max[i * n_heads..]) {
                *max = max.max(row::capped_max(own, spec.softcap));
            }
        }

        let shared = panel::weights(panel, &seen, &max, self.read);
        scratch.out.resize(n_lanes * spec.v_head_dim, 0.0);
        assert_eq!(scratch.scores.len(), n_keys * P);
        // SAFETY: weights are [keys, P], of which the first lanes are queries.
        unsafe {
            mix(values, &ranges, &mut scratch.out, false, |lane, key| {
                Left::Columns(scratch.scores.as_ptr().add(key * P + lane), P)
            });
        }
        let mut rest = scratch.own_scores.as_mut_slice();
        for (i, row) in group.rows.iter().enumerate() {
            let own;
            (own, rest) = rest.split_at_mut(row.n_own() * n_heads);
            let lanes = i * n_heads..(i + 1) * n_heads;
            let mut sums: Vec<Sums> = lanes.clone().map(|lane| shared.of(lane)).collect();
            row::weights(own, &max[lanes.clone()], self.read, &mut sums);
            let (from, to) = row.own();
            let n = to - from;
            let mixed = &mut scratch.out[lanes.start * spec.v_head_dim..lanes.end * spec.v_head_dim];
            assert_eq!(own.len(), n_heads * n);
            // SAFETY: weights are [queries, keys].
            unsafe {
                mix(values, &row.block.ranges(from, to), mixed, true, |query, key| {
                    Left::Rows(own.as_ptr().add(query * n + key), n)
                });
            }
            // SAFETY: the row is this task's, and so are the heads.
            unsafe { self.write_row(out, row.block.rows.start, kv_head, mixed, &sums) };
        }
    }

    /// Queries of all rows, one after the other and side by side, `[D, P]`.
    fn side_by_side<const P: usize>(
        &self,
        group: &Group<'_>,
        kv_head: usize,
        views: &Views<'_>,
        scratch: &mut Scratch,
    ) {
        let dim = self.spec.head_dim;
        scratch.rows.clear();
        for row in &group.rows {
            self.scaled_queries(views, row.block.rows.start, kv_head, &mut scratch.rows);
        }
        scratch.queries.clear();
        scratch.queries.resize(dim * P, 0.0);
        for (lane, query) in scratch.rows.chunks_exact(dim).enumerate() {
            for (i, &x) in query.iter().enumerate() {
                scratch.queries[i * P + lane] = x;
            }
        }
    }
}

impl Group<'_> {
    /// The shared keys that each lane sees; a lane without a query sees all.
    fn seen<const P: usize>(&self, n_heads: usize) -> Seen<P> {
        let mut seen = Seen { from: [0; P], to: [(self.to - self.from) as u32; P] };
        for (i, row) in self.rows.iter().enumerate() {
            let from = row.from.clamp(self.from, row.shared) - self.from;
            seen.from[i * n_heads..(i + 1) * n_heads].fill(from as u32);
            seen.to[i * n_heads..(i + 1) * n_heads].fill((row.shared - self.from) as u32);
        }
        seen
    }
}
