//! The operations inside the model: at the embedded model's sizes, one token and a full prompt; and all products of a
//! pass of a model of 42 million weights, for each quantized type, as tokens a second.

use criterion::{Criterion, Throughput};
use glm::fixture::{self, Random};
use glm::kernels::{
    PackedMatrix, Rows, Stored, Unpack,
    cpu::{self, Activations, Pool},
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
    let mut room = Activations::default();
    let mut group = criterion.benchmark_group("kernels");
    for tokens in TOKENS {
        for outputs in [config.inner, config.vocabulary] {
            // Only the last token of a prompt meets the head.
            if outputs == config.vocabulary && tokens > 1 {
                continue;
            }
            let weight = random.packed(Stored::Q8_0, outputs, config.width);
            let x = random.normal(tokens * config.width);
            let mut out = vec![0.0; tokens * outputs];
            group.throughput(Throughput::Elements(
                (tokens * outputs * config.width) as u64,
            ));
            group.bench_function(
                format!("matmul {tokens}×{}×{outputs}", config.width),
                |bencher| {
                    let x = Rows::new(&x, config.width);
                    bencher.iter(|| {
                        room.set(x, &pool);
                        cpu::matmul_packed(&room, &weight, &[], &mut out, 0, &pool);
                    });
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
    products(criterion);
}

/// Rows of a pass: a decoded token, drafts to verify, a prompt.
const ROWS: [usize; 5] = [1, 2, 4, 8, 512];

/// All products of a pass of a model with 12 layers, 512 hidden numbers, two key-value heads of 64 and 16,384 tokens,
/// the head for every row. The inner width is 1,408, or 1,536 where rows must be whole blocks of 256.
fn products(criterion: &mut Criterion) {
    let pool = Pool::new(THREADS).expect("the machine starts threads");
    let mut group = criterion.benchmark_group("products");
    let types = [
        Stored::Q8_0,
        Stored::Q4_0,
        Stored::Q4K,
        Stored::Q5K,
        Stored::Q6K,
    ];
    for stored in types {
        let mut random = Random::new(1);
        let inner = match stored {
            Stored::Q8_0 | Stored::Q4_0 => 1408,
            _ => 1536,
        };
        let layer = [(768, 512), (512, 512), (2 * inner, 512), (512, inner)];
        let sizes = [layer; 12].into_iter().flatten().chain([(16_384, 512)]);
        let matrices: Vec<PackedMatrix> = sizes
            .map(|(outputs, inputs)| random.packed(stored, outputs, inputs))
            .collect();
        let mut room = Activations::default();
        for rows in ROWS {
            let x = random.normal(rows * inner);
            let mut out = vec![0.0; rows * 16_384];
            group.throughput(Throughput::Elements(rows as u64));
            group.bench_function(format!("{stored:?} {rows}"), |bencher| {
                bencher.iter(|| {
                    for matrix in &matrices {
                        room.set(
                            Rows::new(&x[..rows * matrix.columns()], matrix.columns()),
                            &pool,
                        );
                        let out = &mut out[..rows * matrix.rows()];
                        cpu::matmul_packed(&room, matrix, &[], out, 0, &pool);
                    }
                });
            });
        }
    }
    group.finish();
}
