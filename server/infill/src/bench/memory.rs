//! How fast this machine's memory is, as the limit of decoding: each token reads every weight once.
//!
//! Takes a number of bytes and of threads, gives bytes a second: as many bytes as the weights have, summed by as many
//! threads as the model uses, each its own part, and nothing done with them. Weights that fit the caches are read from
//! there by both; of larger ones a part tells as much.

use std::hint::black_box;
use std::thread;
use std::time::Instant;

/// Bytes that are in memory and in no cache.
const MOST: usize = 512 << 20;

/// Times that a round reads everything, as tokens follow one another, so that starting threads costs nothing.
const PASSES: usize = 16;

/// Bytes a second that these threads read in each of some rounds, after one to warm up.
pub fn speeds(bytes: usize, threads: usize, rounds: usize) -> Vec<f64> {
    let words = vec![1u64; bytes.min(MOST) / size_of::<u64>()];
    let share = words.len().div_ceil(threads).max(1);
    let round = |_| {
        let began = Instant::now();
        thread::scope(|scope| {
            for part in words.chunks(share) {
                scope.spawn(|| (0..PASSES).for_each(|_| _ = black_box(sum(black_box(part)))));
            }
        });
        (PASSES * size_of_val(&words[..])) as f64 / began.elapsed().as_secs_f64()
    };
    (0..=rounds).map(round).skip(1).collect()
}

/// Some sums side by side, so that no addition waits for another.
fn sum(words: &[u64]) -> u64 {
    let (chunks, _) = words.as_chunks::<16>();
    let mut sums = [0u64; 16];
    for chunk in chunks {
        for (sum, word) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.into_iter().fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_reads_something() {
        let speeds = speeds(1 << 16, 3, 4);
        assert_eq!(speeds.len(), 4);
        assert!(speeds.iter().all(|&speed| speed > 0.0));
        assert_eq!(sum(&[2; 32]), 64);
    }
}
