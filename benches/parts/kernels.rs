//! The operations inside the model, at the embedded model's sizes: one token and a full prompt.

use criterion::{Criterion, Throughput};
use glm::fixture::{self, Random};
use glm::kernels::{
    Rows,
    cpu::{self, Pool, Quantized},
};

/// Threads that share the work out.
const THREADS: usize = 2;
/// Tokens of a batch: one decoded, and a prompt.
const TOKENS: [usize; 2] = [1, 448];

/// Benches the quantized products of the feed-forward part and the head, attention, norm and GELU.
pub fn bench(criterion: &mut Criterion) {
    let config = fixture::embedded();
    let mut random = Random::new(1);
    let pool = Pool::new(THREADS).expect("the machine starts threads");
    let mut room = Quantized::default();
    let mut group = criterion.benchmark_group("kernels");
    for tokens in TOKENS {
        for outputs in [config.inner, config.vocabulary] {
            // Only the last token of a prompt meets the head.
            if outputs == config.vocabulary && tokens > 1 {
                continue;
            }
            let weight = random.q8(outputs, config.width);
            let x = random.normal(tokens * config.width);
            let mut out = vec![0.0; tokens * outputs];
            group.throughput(Throughput::Elements(
                (tokens * outputs * config.width) as u64,
            ));
            group.bench_function(
                format!("matmul {tokens}×{}×{outputs}", config.width),
                |bencher| {
                    let x = Rows::new(&x, config.width);
                    bencher.iter(|| cpu::matmul_q8(x, &weight, &[], &mut out, &mut room, &pool));
                },
            );
        }
        let x = random.normal(tokens * config.width);
        let (weight, bias) = (random.normal(config.width), random.normal(config.width));
        let mut out = vec![0.0; tokens * config.width];
        group.throughput(Throughput::Elements(out.len() as u64));
        group.bench_function(format!("norm {tokens}×{}", config.width), |bencher| {
            let x = Rows::new(&x, config.width);
            bencher.iter(|| cpu::layer_norm(x, &weight, &bias, config.epsilon, &mut out, &pool));
        });
        let mut inner = random.normal(tokens * config.inner);
        group.throughput(Throughput::Elements(inner.len() as u64));
        group.bench_function(format!("gelu {tokens}×{}", config.inner), |bencher| {
            bencher.iter(|| cpu::activate(config.activation, &mut inner, &pool));
        });
    }
    group.finish();
}
