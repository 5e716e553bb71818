//! What a model runs on, as chosen and as it can be had.
//!
//! Takes the choice of a person, gives a device and, where it is not the one that was asked for, a line that says why.
//! A GPU that cannot be used is no reason not to serve: the processor does then.

use glm::{Device, Error, Model, Source, Weights};

use crate::models::settings::{Choice, Device as Chosen};

/// A model on the device that it got.
pub struct Placed {
    /// The model.
    pub model: Model,
    /// Why it does not run where the person who chose wants it.
    pub note: Option<String>,
}

/// Loads a model, its matrices brought to the type `weights`, onto the device of the choice, or else into the processor's memory; tells what part of it is loaded,
/// from 0 to 1.
///
/// # Errors
/// If its files cannot be used.
pub fn place(
    source: &Source,
    weights: Weights,
    choice: &Choice,
    progress: &dyn Fn(f32),
) -> Result<Placed, Error> {
    let vram = choice.vram.map(|mib| (mib as u64) << 20);
    let kv = choice.kv.unwrap_or_default();
    let wish = choice.device.clone().unwrap_or_default();
    let found = match &wish {
        Chosen::Cpu => Ok(Device::Cpu),
        Chosen::Auto => Device::any(vram),
        Chosen::Cuda(numbers) => Device::cuda(numbers, vram),
        Chosen::Together(numbers) => Device::cuda_together(numbers, vram),
        Chosen::Metal => Device::metal(vram),
    };
    let open = |device: &Device| Model::open_telling(source, weights, device, progress);
    let opened = found.and_then(|device| open(&device.with_kv(kv)));
    let on_cpu = |why: &str| format!("{why}; the processor runs the model");
    let (model, note) = match opened {
        Ok(model) => {
            let in_turn = |why: &str| format!("{why}; the GPUs take consecutive layers");
            let note = model.refusal().map(on_cpu);
            let note = note.or_else(|| model.apart().map(in_turn));
            (model, note)
        }
        Err(error) if error.is_devices() => (open(&Device::Cpu)?, Some(on_cpu(&error.to_string()))),
        Err(error) => return Err(error),
    };
    let is_by_name = wish != Chosen::Auto;
    match &note {
        Some(note) if is_by_name => tracing::warn!("{note}"),
        Some(note) => tracing::info!("{note}"),
        None => tracing::info!("the model runs on {}", model.place()),
    }
    // Who lets the program choose has got what it found.
    let note = note.filter(|_| is_by_name);
    let note = note.or_else(|| kv_note(&model));
    Ok(Placed { model, note })
}

/// Why caches are not of the type that was chosen; the log hears of it, too.
fn kv_note(model: &Model) -> Option<String> {
    let why = model.kv_refusal()?;
    tracing::warn!("{why}");
    Some(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded;

    fn placed(device: Option<Chosen>) -> Placed {
        let choice = Choice {
            device,
            ..Choice::default()
        };
        let source = Source::Static(embedded::MODEL);
        place(&source, Weights::AsStored, &choice, &|_| {}).unwrap()
    }

    #[test]
    fn a_gpu_that_cannot_be_had_leaves_the_model_on_the_processor_and_says_why() {
        let mut absent = vec![
            (Chosen::Cuda(vec![10_000]), "cuda:10000"),
            (Chosen::Together(vec![10_000, 10_001]), "cuda:10000"),
        ];
        if !cfg!(feature = "metal") {
            absent.push((Chosen::Metal, "metal"));
        }
        for (device, name) in absent {
            let Placed { model, note } = placed(Some(device));
            assert_eq!(model.place(), "cpu");
            let note = note.unwrap();
            let said = format!("cannot use the device {name}");
            assert!(note.starts_with(&said), "{note}");
            assert!(note.ends_with("; the processor runs the model"), "{note}");
            assert!(!note.contains('\n'), "{note}");
        }
    }

    #[test]
    fn caches_that_are_not_what_was_chosen_are_told_of() {
        let open = |source: &Source| {
            let (device, _) = glm::fixture::gpu(1 << 30);
            let device = device.with_kv(glm::KvType::Q8);
            Model::open(source, Weights::AsStored, &device).unwrap()
        };
        let model = open(&Source::Static(embedded::MODEL));
        assert_eq!(kv_note(&model), None);
        assert_eq!(model.place(), "cuda:0 (emulated), with q8 caches");
        let config = glm::fixture::tiny(100);
        let bytes = glm::fixture::gguf(&config, glm::fixture::Weights::F32, 1, None);
        let model = open(&Source::Static(bytes.leak()));
        let note = kv_note(&model).unwrap();
        assert!(note.starts_with("glm has heads of 16 numbers"), "{note}");
        assert_eq!(model.place(), "cuda:0 (emulated)");
    }

    #[test]
    fn who_lets_the_program_choose_hears_of_no_trouble() {
        for device in [None, Some(Chosen::Auto), Some(Chosen::Cpu)] {
            let is_cpu_chosen = device == Some(Chosen::Cpu);
            let Placed { model, note } = placed(device);
            assert_eq!(note, None);
            let is_cpu = model.place() == "cpu";
            assert!(is_cpu || !is_cpu_chosen);
        }
    }
}
