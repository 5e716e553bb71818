//! Sums of products with 16 neighbouring numbers: the inner loop of both halves of attention.
//!
//! Takes `M` rows of factors and a matrix, gives sums for groups of 16 columns, kept in registers from the first product
//! to the last.

/// Columns of the matrix that one call takes.
pub(super) const COLUMNS: usize = 16;

/// Groups of columns that are taken at once where [`takes_groups`] says so.
pub(super) const GROUPS: usize = 4;

/// Whether so many rows of factors take [`GROUPS`] groups of columns at once. A single row does, since eight registers
/// of sums keep the adders busy; several do where there are 32 registers for the sums.
pub(super) fn takes_groups(rows: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx512() {
        return true;
    }
    rows == 1
}

/// sums(m, n, c) = Σ factors(m, k) · matrix(k, n, c) for `N` groups of 16 columns; row k of group n begins at
/// `k * stride + n * apart`. The rows of factors are of one length, and the matrix has as many rows. Each sum is formed
/// product after product, whatever `M` and `N` are, so that the same numbers give the same bits in every company.
pub(super) fn sum_products<const M: usize, const N: usize>(
    factors: &[&[f32]; M],
    matrix: &[f32],
    stride: usize,
    apart: usize,
) -> [[[f32; COLUMNS]; N]; M] {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx512() {
        // SAFETY: the machine has the instructions.
        return unsafe { avx512::sum_products(factors, matrix, stride, apart) };
    } else if super::has_avx2() {
        // SAFETY: the machine has the instructions.
        return unsafe { avx2::sum_products(factors, matrix, stride, apart) };
    }
    sum_products_plain(factors, matrix, stride, apart)
}

/// Hands out Σ factors(m, k) · matrix(k, c) for all `columns` of a matrix whose row k begins at `k * stride`: to `give`
/// come m, the first column, and the sums of some neighbouring ones.
pub(super) fn times<const M: usize>(
    factors: &[&[f32]; M],
    matrix: &[f32],
    stride: usize,
    columns: usize,
    mut give: impl FnMut(usize, usize, &[f32]),
) {
    let mut at = 0;
    if takes_groups(M) {
        while at + GROUPS * COLUMNS <= columns {
            let sums = sum_products::<M, GROUPS>(factors, &matrix[at..], stride, COLUMNS);
            for (m, sums) in sums.iter().enumerate() {
                give(m, at, sums.as_flattened());
            }
            at += GROUPS * COLUMNS;
        }
    }
    while at + COLUMNS <= columns {
        let sums = sum_products::<M, 1>(factors, &matrix[at..], stride, 0);
        for (m, sums) in sums.iter().enumerate() {
            give(m, at, sums.as_flattened());
        }
        at += COLUMNS;
    }
    // Only matrices of odd widths have columns left.
    for at in at..columns {
        for (m, factors) in factors.iter().enumerate() {
            let column = matrix[at..].iter().step_by(stride);
            let products = factors.iter().zip(column).map(|(a, b)| a * b);
            give(m, at, &[products.sum::<f32>()]);
        }
    }
}

fn sum_products_plain<const M: usize, const N: usize>(
    factors: &[&[f32]; M],
    matrix: &[f32],
    stride: usize,
    apart: usize,
) -> [[[f32; COLUMNS]; N]; M] {
    factors.map(|factors| {
        std::array::from_fn(|n| {
            let mut sums = [0.0; COLUMNS];
            for (k, factor) in factors.iter().enumerate() {
                let row = &matrix[k * stride + n * apart..][..COLUMNS];
                for (sum, number) in sums.iter_mut().zip(row) {
                    *sum += factor * number;
                }
            }
            sums
        })
    })
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::COLUMNS;
    use std::arch::x86_64::*;

    /// The sums in 2 × `M` × `N` registers.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn sum_products<const M: usize, const N: usize>(
        factors: &[&[f32]; M],
        matrix: &[f32],
        stride: usize,
        apart: usize,
    ) -> [[[f32; COLUMNS]; N]; M] {
        let count = factors[0].len();
        assert!(factors.iter().all(|row| row.len() == count));
        assert!(count == 0 || (count - 1) * stride + (N - 1) * apart + COLUMNS <= matrix.len());
        let mut sums = [[[_mm256_setzero_ps(); 2]; N]; M];
        for k in 0..count {
            // SAFETY: k is below `count`, and the assertion above says that its row of each group is in the matrix.
            let numbers: [[__m256; 2]; N] = std::array::from_fn(|n| unsafe {
                let at = matrix.as_ptr().add(k * stride + n * apart);
                [_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8))]
            });
            for (factors, sums) in factors.iter().zip(&mut sums) {
                // SAFETY: every row of factors has `count` numbers.
                let factor = _mm256_set1_ps(unsafe { *factors.get_unchecked(k) });
                for ([low, high], numbers) in sums.iter_mut().zip(numbers) {
                    *low = _mm256_fmadd_ps(factor, numbers[0], *low);
                    *high = _mm256_fmadd_ps(factor, numbers[1], *high);
                }
            }
        }
        sums.map(|groups| {
            groups.map(|[low, high]| {
                let mut out = [0.0; COLUMNS];
                // SAFETY: `out` has room for two registers of eight numbers.
                unsafe {
                    _mm256_storeu_ps(out.as_mut_ptr(), low);
                    _mm256_storeu_ps(out.as_mut_ptr().add(8), high);
                }
                out
            })
        })
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::COLUMNS;
    use std::arch::x86_64::*;

    /// The sums in `M` × `N` registers.
    #[target_feature(enable = "avx512f,avx2,fma")]
    pub(super) fn sum_products<const M: usize, const N: usize>(
        factors: &[&[f32]; M],
        matrix: &[f32],
        stride: usize,
        apart: usize,
    ) -> [[[f32; COLUMNS]; N]; M] {
        let count = factors[0].len();
        assert!(factors.iter().all(|row| row.len() == count));
        assert!(count == 0 || (count - 1) * stride + (N - 1) * apart + COLUMNS <= matrix.len());
        let mut sums = [[_mm512_setzero_ps(); N]; M];
        for k in 0..count {
            let mut numbers = [_mm512_setzero_ps(); N];
            for (n, numbers) in numbers.iter_mut().enumerate() {
                // SAFETY: k is below `count`, and the assertion above says that its row of each group is in the matrix.
                *numbers = unsafe { _mm512_loadu_ps(matrix.as_ptr().add(k * stride + n * apart)) };
            }
            for (factors, sums) in factors.iter().zip(&mut sums) {
                // SAFETY: every row of factors has `count` numbers.
                let factor = _mm512_set1_ps(unsafe { *factors.get_unchecked(k) });
                for (sum, numbers) in sums.iter_mut().zip(numbers) {
                    *sum = _mm512_fmadd_ps(factor, numbers, *sum);
                }
            }
        }
        let mut out = [[[0.0; COLUMNS]; N]; M];
        for (out, sums) in out.iter_mut().zip(sums) {
            for (out, sum) in out.iter_mut().zip(sums) {
                // SAFETY: `out` has room for a register of 16 numbers.
                unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sum) };
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
        let mut random = Random::new(6);
        for (count, stride) in [(1, 64), (3, 64), (64, 70), (67, 400)] {
            let matrix = random.normal((count - 1) * stride + GROUPS * COLUMNS);
            let rows = [(); 4].map(|()| random.normal(count));
            let four = rows.each_ref().map(Vec::as_slice);
            let plain = sum_products_plain::<4, GROUPS>(&four, &matrix, stride, COLUMNS);
            let plain = plain.as_flattened().as_flattened();
            let fast = sum_products::<4, GROUPS>(&four, &matrix, stride, COLUMNS);
            reference::assert_close(fast.as_flattened().as_flattened(), plain, 1e-5);
            #[cfg(target_arch = "x86_64")]
            if super::super::has_avx2() {
                // SAFETY: the machine has the instructions.
                let avx2 =
                    unsafe { avx2::sum_products::<4, GROUPS>(&four, &matrix, stride, COLUMNS) };
                assert_eq!(fast, avx2, "the same bits in both ways");
            }
        }
    }

    #[test]
    fn a_sum_is_the_same_bits_in_every_company() {
        let mut random = Random::new(7);
        let (count, columns) = (133, 90);
        let matrix = random.normal(count * columns);
        let rows = [(); 4].map(|()| random.normal(count));
        let four = rows.each_ref().map(Vec::as_slice);
        let mut together = vec![vec![f32::NAN; columns]; 4];
        times(&four, &matrix, columns, columns, |m, at, sums| {
            together[m][at..at + sums.len()].copy_from_slice(sums);
        });
        for (row, together) in four.iter().zip(together) {
            let mut alone = vec![f32::NAN; columns];
            times(&[row], &matrix, columns, columns, |_, at, sums| {
                alone[at..at + sums.len()].copy_from_slice(sums);
            });
            assert_eq!(alone, together);
        }
    }
}
