//! pass@k: how likely one of k answers passes, by the estimator without bias of the Codex paper.

/// Whether one of `k` answers passes, drawn from `n` of which `passed` did: `1 - C(n - passed, k) / C(n, k)`.
pub fn pass_at(k: u32, n: u32, passed: u32) -> f64 {
    if n - passed < k {
        return 1.0;
    }
    let factors = (n - passed + 1..=n).map(|i| 1.0 - f64::from(k) / f64::from(i));
    1.0 - factors.product::<f64>()
}

/// The mean over problems, each with its answers and how many of them passed; none without problems.
pub fn mean(k: u32, problems: impl Iterator<Item = (u32, u32)>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0u32);
    for (n, passed) in problems {
        sum += pass_at(k, n, passed);
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimator_is_what_drawing_gives() {
        for (k, n, passed, expected) in [
            (1, 1, 1, 1.0),
            (1, 1, 0, 0.0),
            (1, 10, 3, 0.3),
            (10, 10, 0, 0.0),
            (10, 10, 1, 1.0),
            // 1 - C(3, 2) / C(5, 2)
            (2, 5, 2, 0.7),
            // 1 - C(195, 10) / C(200, 10)
            (10, 200, 5, 0.228_284_460_737),
            (100, 200, 5, 0.970_308_394_765),
        ] {
            let found = pass_at(k, n, passed);
            assert!((found - expected).abs() < 1e-9, "{k} {n} {passed}: {found}");
        }
        // All ways to draw 3 of 6.
        for passed in 0..=6u32 {
            let draws = (0..1u32 << 6).filter(|draw| draw.count_ones() == 3);
            let hits = draws
                .clone()
                .filter(|draw| draw & ((1 << passed) - 1) != 0)
                .count();
            let expected = hits as f64 / draws.count() as f64;
            assert!((pass_at(3, 6, passed) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn problems_count_alike() {
        assert_eq!(mean(1, [(4, 1), (2, 1)].into_iter()), Some(0.375));
        assert_eq!(mean(1, std::iter::empty()), None);
    }
}
