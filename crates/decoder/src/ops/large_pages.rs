//! Large arrays ask the system for large pages, where it gives them to those who ask.
//!
//! Memory is handed out at its first use, a page at a time; for the weights of a model that takes as long as reading them. Pages of 2 MiB
//! are five hundred times fewer, and products look fewer addresses up.

/// Asks for large pages in those parts of an array that they fit into. The numbers stay as they are.
#[cfg(target_os = "linux")]
pub(crate) fn ask_for<T>(numbers: &mut [T]) {
    const LARGE: usize = 2 << 20;
    let bytes = numbers.as_mut_ptr_range();
    let (start, end) = ((bytes.start as usize).next_multiple_of(LARGE), bytes.end as usize / LARGE * LARGE);
    if start < end {
        let first = bytes.start.cast::<libc::c_void>().wrapping_byte_add(start - bytes.start as usize);
        // SAFETY: the range lies within the array, and the advice changes no number. A system that does not follow it says so, which
        // changes nothing either.
        unsafe { libc::madvise(first, end - start, libc::MADV_HUGEPAGE) };
    }
}

/// Other systems choose by themselves.
#[cfg(not(target_os = "linux"))]
pub(crate) fn ask_for<T>(_: &mut [T]) {}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_stay_as_they_are() {
        for n in [0, 1, 1 << 10, 3 << 20] {
            let mut numbers: Vec<u32> = (0..n).collect();
            super::ask_for(&mut numbers);
            assert!(numbers.iter().copied().eq(0..n));
        }
    }
}
