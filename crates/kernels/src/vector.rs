//! Loops for the vector instructions that the processor turns out to have.

/// Compiles a function of plain arguments three times, with AVX-512, with AVX2, and without either, and runs the best that the processor has. The body is
/// plain loops, which the compiler turns into those instructions; functions that it calls should be `#[inline(always)]`.
#[macro_export]
macro_rules! vectorised {
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident $(<const $lanes:ident: usize>)? ($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)?
        $body:block
    ) => {
        $(#[$meta])*
        $vis fn $name $(<const $lanes: usize>)? ($($arg: $type),*) $(-> $out)? {
            #[inline(always)]
            fn body $(<const $lanes: usize>)? ($($arg: $type),*) $(-> $out)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn with_avx512 $(<const $lanes: usize>)? ($($arg: $type),*) $(-> $out)? {
                    body $(::<$lanes>)? ($($arg),*)
                }

                #[target_feature(enable = "avx2,fma")]
                fn with_avx2 $(<const $lanes: usize>)? ($($arg: $type),*) $(-> $out)? {
                    body $(::<$lanes>)? ($($arg),*)
                }

                if $crate::vector::has_avx512() {
                    // SAFETY: the instructions are there.
                    return unsafe { with_avx512 $(::<$lanes>)? ($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the instructions are there.
                    return unsafe { with_avx2 $(::<$lanes>)? ($($arg),*) };
                }
            }
            body $(::<$lanes>)? ($($arg),*)
        }
    };
}

/// Whether the processor has the parts of AVX-512 that `vectorised` functions use.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
}
