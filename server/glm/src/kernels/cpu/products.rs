//! Sums of products with 16 neighbouring numbers: the inner loop of both halves of attention.
//!
//! Takes `M` rows of factors and a matrix, gives `M` × 16 sums, kept in registers from the first product to the last.

/// Columns of the matrix that one call takes.
pub(super) const COLUMNS: usize = 16;

/// sums(m, c) = Σ factors(m, k) · matrix(k, c) for 16 columns c; row k of the matrix begins at `k * stride`. The rows
/// of factors are of one length, and the matrix has as many rows.
pub(super) fn sum_products<const M: usize>(
    factors: &[&[f32]; M],
    matrix: &[f32],
    stride: usize,
) -> [[f32; COLUMNS]; M] {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // A single row has few sums, so it keeps partial ones: eight registers of sums keep the adders busy.
        // SAFETY: the machine has the instructions.
        return unsafe {
            if M == 1 {
                avx2::sum_products::<M, 4>(factors, matrix, stride)
            } else {
                avx2::sum_products::<M, 1>(factors, matrix, stride)
            }
        };
    }
    sum_products_plain(factors, matrix, stride)
}

fn sum_products_plain<const M: usize>(
    factors: &[&[f32]; M],
    matrix: &[f32],
    stride: usize,
) -> [[f32; COLUMNS]; M] {
    factors.map(|factors| {
        let mut sums = [0.0; COLUMNS];
        for (k, factor) in factors.iter().enumerate() {
            for (sum, number) in sums.iter_mut().zip(&matrix[k * stride..][..COLUMNS]) {
                *sum += factor * number;
            }
        }
        sums
    })
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::COLUMNS;
    use std::arch::x86_64::*;

    /// The sums in 2 × `M` × `PARTS` registers; part p takes every `PARTS`-th product from the p-th on.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn sum_products<const M: usize, const PARTS: usize>(
        factors: &[&[f32]; M],
        matrix: &[f32],
        stride: usize,
    ) -> [[f32; COLUMNS]; M] {
        let count = factors[0].len();
        assert!(factors.iter().all(|row| row.len() == count));
        assert!(count == 0 || (count - 1) * stride + COLUMNS <= matrix.len());
        let mut sums = [[[_mm256_setzero_ps(); 2]; PARTS]; M];
        let whole = count / PARTS * PARTS;
        for first in (0..whole).step_by(PARTS) {
            for part in 0..PARTS {
                // SAFETY: first + part is below `count`, and both lengths were asserted above.
                unsafe { add::<M, PARTS>(factors, matrix, stride, first + part, part, &mut sums) };
            }
        }
        for k in whole..count {
            // SAFETY: as above.
            unsafe { add::<M, PARTS>(factors, matrix, stride, k, 0, &mut sums) };
        }
        sums.map(|parts| {
            let mut total = parts[0];
            for part in &parts[1..] {
                total = [
                    _mm256_add_ps(total[0], part[0]),
                    _mm256_add_ps(total[1], part[1]),
                ];
            }
            let mut out = [0.0; COLUMNS];
            // SAFETY: `out` has room for two registers of eight numbers.
            unsafe {
                _mm256_storeu_ps(out.as_mut_ptr(), total[0]);
                _mm256_storeu_ps(out.as_mut_ptr().add(8), total[1]);
            }
            out
        })
    }

    /// Adds the products of row `k` of the matrix to one part of the sums.
    ///
    /// # Safety
    /// Every row of factors is longer than `k`, and the matrix has 16 numbers from `k * stride` on.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    unsafe fn add<const M: usize, const PARTS: usize>(
        factors: &[&[f32]; M],
        matrix: &[f32],
        stride: usize,
        k: usize,
        part: usize,
        sums: &mut [[[__m256; 2]; PARTS]; M],
    ) {
        // SAFETY: the caller vouches for the 16 numbers and, below, for the factors.
        let numbers = unsafe {
            let at = matrix.as_ptr().add(k * stride);
            [_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8))]
        };
        for m in 0..M {
            // SAFETY: as above.
            let factor = _mm256_set1_ps(unsafe { *factors[m].get_unchecked(k) });
            let [low, high] = &mut sums[m][part];
            *low = _mm256_fmadd_ps(factor, numbers[0], *low);
            *high = _mm256_fmadd_ps(factor, numbers[1], *high);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture::Random, kernels::reference};

    #[test]
    fn the_fast_version_is_the_plain_one() {
        let mut random = Random::new(6);
        for (count, stride) in [(1, 16), (3, 16), (64, 16), (67, 40)] {
            let matrix = random.normal((count - 1) * stride + COLUMNS);
            let rows = [(); 4].map(|()| random.normal(count));
            let four = rows.each_ref().map(Vec::as_slice);
            let plain = sum_products_plain(&four, &matrix, stride);
            let fast = sum_products(&four, &matrix, stride);
            reference::assert_close(fast.as_flattened(), plain.as_flattened(), 1e-5);
            let [fast] = sum_products(&[four[0]], &matrix, stride);
            reference::assert_close(&fast, &plain[0], 1e-5);
        }
    }
}
