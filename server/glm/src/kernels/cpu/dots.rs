//! Dot products of some rows with some others, both read along their length: the inner loop of every product with a
//! matrix that is stored row by row.
//!
//! Takes `M` rows and `N` rows of one length, gives `M` × `N` sums, each kept in a register of partial sums to the end.

/// Partial sums side by side.
const LANES: usize = 8;

/// sums(m, n) = Σ a(m, k) · b(n, k). All rows are of one length.
pub(super) fn dots<const M: usize, const N: usize>(
    a: &[&[f32]; M],
    b: &[&[f32]; N],
) -> [[f32; N]; M] {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the machine has the instructions.
        return unsafe { avx2::dots(a, b) };
    }
    dots_plain(a, b)
}

fn dots_plain<const M: usize, const N: usize>(a: &[&[f32]; M], b: &[&[f32]; N]) -> [[f32; N]; M] {
    a.map(|a| {
        b.map(|b| {
            let (a_chunks, a_rest) = a.as_chunks::<LANES>();
            let (b_chunks, b_rest) = b.as_chunks::<LANES>();
            let mut lanes = [0.0; LANES];
            for (a, b) in a_chunks.iter().zip(b_chunks) {
                for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                    *lane += a * b;
                }
            }
            let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
            lanes.iter().sum::<f32>() + rest
        })
    })
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::LANES;
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn dots<const M: usize, const N: usize>(
        a: &[&[f32]; M],
        b: &[&[f32]; N],
    ) -> [[f32; N]; M] {
        let count = a[0].len();
        assert!(a.iter().chain(b).all(|row| row.len() == count));
        let whole = count / LANES * LANES;
        let mut sums = [[_mm256_setzero_ps(); N]; M];
        for k in (0..whole).step_by(LANES) {
            // SAFETY: every row has `count` numbers, as asserted above, and k + LANES is at most that.
            let b = b.map(|b| unsafe { _mm256_loadu_ps(b.as_ptr().add(k)) });
            for (a, sums) in a.iter().zip(&mut sums) {
                // SAFETY: as above.
                let a = unsafe { _mm256_loadu_ps(a.as_ptr().add(k)) };
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = _mm256_fmadd_ps(a, b, *sum);
                }
            }
        }
        let mut out = [[0.0; N]; M];
        for m in 0..M {
            for n in 0..N {
                let mut lanes = [0.0; LANES];
                // SAFETY: `lanes` has room for a register of eight numbers.
                unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sums[m][n]) };
                let rest = a[m][whole..].iter().zip(&b[n][whole..]);
                out[m][n] = lanes.iter().sum::<f32>() + rest.map(|(a, b)| a * b).sum::<f32>();
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture::Random, kernels::reference};

    #[test]
    fn the_fast_version_is_the_plain_one() {
        let mut random = Random::new(8);
        for count in [0, 1, 7, 8, 64, 67] {
            let a = [(); 4].map(|()| random.normal(count));
            let b = [(); 2].map(|()| random.normal(count));
            let (a, b) = (
                a.each_ref().map(Vec::as_slice),
                b.each_ref().map(Vec::as_slice),
            );
            let (plain, fast) = (dots_plain(&a, &b), dots(&a, &b));
            reference::assert_close(fast.as_flattened(), plain.as_flattened(), 1e-5);
            let want: f64 = a[3]
                .iter()
                .zip(b[1])
                .map(|(&a, &b)| f64::from(a) * f64::from(b))
                .sum();
            assert!((f64::from(fast[3][1]) - want).abs() < 1e-4);
        }
    }
}
