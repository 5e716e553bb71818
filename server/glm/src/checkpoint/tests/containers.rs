//! Tests of the containers on files that the makers' own libraries wrote (`tests/data/checkpoints/make.py`), whole,
//! cut and with wrong bytes.

use super::super::{
    gguf::{Gguf, Value},
    safetensors, torch,
    view::{Entry, Kind, View},
};
use crate::fixture::Random;
use std::{collections::BTreeMap, path::Path};

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/checkpoints");
    std::fs::read(folder.join(name)).unwrap()
}

/// The numbers of a tensor, with its scales if it has any.
fn numbers(tensors: &BTreeMap<String, Entry>, name: &str, columns: usize) -> Vec<f32> {
    let mut view = View::of(&tensors[name]);
    if let Some(scales) = tensors.get(&format!("{name}_scale")) {
        view = view.scaled(scales).unwrap();
    }
    let rows = view.rows();
    view.check(rows, columns).unwrap();
    let mut numbers = vec![f32::NAN; rows * columns];
    view.unpack(0..rows, columns, &mut numbers);
    numbers
}

fn check_published(tensors: &BTreeMap<String, Entry>) {
    assert_eq!(tensors.len(), 4);
    let counting: Vec<f32> = (0..12u8).map(f32::from).collect();
    assert_eq!(numbers(tensors, "module.layers.0.weight", 4), counting);
    assert_eq!(
        numbers(tensors, "module.layers.0.bias", 1),
        [0.5, -1.5, 2.0]
    );
    assert_eq!(
        numbers(tensors, "module.codes", 2),
        [-4.0, 63.5, 0.25, -32.0]
    );
    // Four bits: -8 is 0xf8, 127 is 0x7f, 1 is 0x01, -128 is 0x80.
    let nibbles = [-0.5, -4.0, 3.5, -0.5, 0.0, 0.25, -2.0, 0.0];
    assert_eq!(numbers(tensors, "module.codes", 4), nibbles);
}

#[test]
fn files_of_pytorch_and_safetensors_hold_the_same() {
    check_published(&torch::tensors(&file("nested.pt")).unwrap());
    check_published(&safetensors::tensors(&file("flat.safetensors")).unwrap());
}

#[test]
fn quantized_numbers_are_those_of_an_independent_package() {
    let bytes = file("numbers.gguf");
    let gguf = Gguf::parse(&bytes).unwrap();
    let tensors: BTreeMap<String, Entry> = gguf
        .tensors
        .into_iter()
        .map(|(name, entry)| (name.to_owned(), entry))
        .collect();
    for kind in ["Q4_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K"] {
        assert!(!matches!(tensors[kind].kind, Kind::Codes | Kind::Other(_)));
        let got = numbers(&tensors, kind, 256);
        let want = numbers(&tensors, &format!("{kind}.f32"), 256);
        assert_eq!(got.len(), 512);
        for (got, want) in got.iter().zip(&want) {
            assert!(
                (got - want).abs() <= 1e-6 * want.abs().max(1.0),
                "{kind}: {got}, not {want}"
            );
        }
    }
    assert_eq!(gguf.metadata["yes"], Value::Bool(true));
    let Value::Array(list) = gguf.metadata["list"] else {
        panic!("an array")
    };
    let list: Vec<_> = list.values().collect();
    assert_eq!(list, [Value::Text("a"), Value::Text(""), Value::Text("ä")]);
}

#[test]
fn files_that_are_not_read_say_why() {
    let refused = |name: &str| torch::tensors(&file(name)).unwrap_err();
    assert!(refused("legacy.pt").contains("before 1.6"));
    assert!(refused("strided.pt").contains("strides [1, 3]"));
    let foreign = refused("foreign.pt");
    assert!(
        foreign.contains("pathlib") || foreign.contains("torch.nn"),
        "{foreign}"
    );

    let header = |json: &str| {
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json.bytes());
        bytes.extend([0; 16]);
        safetensors::tensors(&bytes).map(drop).unwrap_err()
    };
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#""a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
    };
    let good = one("F32", "[2]", "[0,8]");
    for (json, part) in [
        (format!("{{{good},{good}}}"), "twice"),
        (
            format!("{{{good},{}}}", good.replace("\"a\"", "\"b\"")),
            "overlap",
        ),
        (
            format!("{{{}}}", one("F32", "[3]", "[0,8]")),
            "12 belong to it",
        ),
        (
            format!("{{{}}}", one("F32", "[4]", "[8,24]")),
            "does not lie within",
        ),
        (
            format!("{{{}}}", one("F32", "[2]", "[8,0]")),
            "does not lie within",
        ),
        (
            format!("{{{}}}", one("F32", "[4611686018427387904,4]", "[0,8]")),
            "too large",
        ),
        (
            format!("{{{}}}", one("Q9", "[2]", "[0,8]")),
            "unknown type Q9",
        ),
        ("[1]".to_owned(), "not that of a safetensors file"),
        ("[".repeat(100_000), "not that of a safetensors file"),
    ] {
        let why = header(&json);
        assert!(why.contains(part), "`{why}` does not say `{part}`");
    }
    let mut huge = 10_000_000_000u64.to_le_bytes().to_vec();
    huge.extend(b"{}");
    assert!(
        safetensors::tensors(&huge)
            .unwrap_err()
            .contains("10000000000 bytes")
    );
}

#[test]
fn files_cut_anywhere_are_refused_and_wrong_bytes_never_panic() {
    for name in ["nested.pt", "flat.safetensors"] {
        let whole = file(name);
        let read = |bytes: &[u8]| match name {
            "nested.pt" => torch::tensors(bytes).map(drop),
            _ => safetensors::tensors(bytes).map(drop),
        };
        for length in 0..whole.len() {
            assert!(
                read(&whole[..length]).is_err(),
                "{name} cut to {length} bytes"
            );
        }
        let mut random = Random::new(7);
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..1 + random.bits() % 3 {
                bytes[random.bits() as usize % whole.len()] = random.bits() as u8;
            }
            let _ = read(&bytes);
        }
    }
}
