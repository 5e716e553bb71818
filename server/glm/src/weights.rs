//! In what type a model's matrices are kept, and the caches of its sequences on GPUs.
//!
//! Takes a person's choice by name, gives it as a value. What a checkpoint does about it is `checkpoint`'s business, what a
//! GPU does, `gpu`'s.

use std::{fmt, str::FromStr};

/// The type that a model's large matrices are brought to as they are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weights {
    /// Each matrix in the type that it is stored in.
    #[default]
    AsStored,
    /// Plain 32-bit numbers.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a 32-bit number.
    Bf16,
    /// Quantized.
    Quantized(Quant),
}

/// Quantized types that a model can be brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quant {
    /// Blocks of 32 with one scale, 8 bits a weight.
    Q8_0,
    /// Super-blocks of 256, about 6.6 bits a weight.
    Q6K,
    /// Super-blocks of 256, 5.5 bits a weight.
    Q5K,
    /// Super-blocks of 256, 4.5 bits a weight.
    Q4K,
    /// Blocks of 32 with one scale, 4 bits a weight.
    Q4_0,
    /// One scale a row, 8 bits a weight: the makers' own scheme.
    Int8,
    /// One scale a row, 4 bits a weight: the makers' own scheme.
    Int4,
}

impl Quant {
    /// All of them with their names.
    const ALL: [(Quant, &'static str); 7] = [
        (Quant::Q8_0, "q8_0"),
        (Quant::Q6K, "q6_k"),
        (Quant::Q5K, "q5_k"),
        (Quant::Q4K, "q4_k"),
        (Quant::Q4_0, "q4_0"),
        (Quant::Int8, "int8"),
        (Quant::Int4, "int4"),
    ];
}

impl fmt::Display for Quant {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let row = Quant::ALL.iter().find(|row| row.0 == *self);
        formatter.write_str(row.expect("every type is in the table").1)
    }
}

impl FromStr for Quant {
    type Err = String;

    fn from_str(name: &str) -> Result<Quant, String> {
        let row = Quant::ALL
            .iter()
            .find(|row| row.1.eq_ignore_ascii_case(name));
        row.map(|row| row.0).ok_or_else(|| {
            let names = Quant::ALL.map(|row| row.1).join(", ");
            format!("no quantized type is called `{name}`; there are {names}")
        })
    }
}

/// The type of keys and values in the caches on GPUs. The processor's are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KvType {
    /// IEEE half precision.
    #[default]
    F16,
    /// Blocks of 32 with one scale, 8.5 bits a number; for heads that are whole blocks.
    Q8,
}

impl fmt::Display for KvType {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            KvType::F16 => "f16",
            KvType::Q8 => "q8",
        })
    }
}

impl FromStr for KvType {
    type Err = String;

    fn from_str(name: &str) -> Result<KvType, String> {
        let mut all = [KvType::F16, KvType::Q8].into_iter();
        all.find(|kv| kv.to_string().eq_ignore_ascii_case(name))
            .ok_or_else(|| format!("no type of KV caches is called `{name}`; there are f16, q8"))
    }
}
