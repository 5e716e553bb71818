//! What was found, as lines: a name, then what there is to know; problems last.

use super::{CPU, Gpu, Model, Report, Share};
use crate::command::model::info::size;

/// All of it.
pub fn text(report: &Report) -> String {
    let mut lines = vec![
        line("infill", report.version),
        line("processor", &report.processor.text()),
    ];
    lines.push(match report.memory {
        Some(memory) => {
            let (free, total) = (size(memory.free_bytes), size(memory.total_bytes));
            line("memory", &format!("{free} of {total} free"))
        }
        None => line("memory", "this system does not tell"),
    });
    lines.extend(report.gpus.iter().map(gpu));
    if let Some(bytes) = report.metal_bytes {
        let what = format!("metal, of whose memory a model may take {}", size(bytes));
        lines.push(line("gpu", &what));
    }
    if let Some(why) = &report.no_gpu {
        lines.push(line("gpu", &format!("none for the model: {why}")));
    }
    lines.extend(report.model.iter().flat_map(model));
    lines.extend(report.places.iter().map(|place| {
        let path = place.path.as_ref();
        let path = path.map_or(String::new(), |path| format!("{}: ", path.display()));
        line(place.what, &format!("{path}{}", place.state))
    }));
    lines.extend(report.problems.iter().map(|problem| {
        let kind = if problem.fatal { "error" } else { "problem" };
        // Of causes in lines of their own, too.
        format!("{kind}: {}", problem.text.replace('\n', " "))
    }));
    if report.problems.is_empty() {
        lines.push("no problem was found".to_owned());
    }
    lines.join("\n") + "\n"
}

fn line(name: &str, what: &str) -> String {
    format!("{name:10} {what}")
}

fn gpu(gpu: &Gpu) -> String {
    let Gpu {
        name,
        product,
        capability,
        driver,
        total_bytes,
        free_bytes,
    } = gpu;
    let (free, total) = (size(*free_bytes), size(*total_bytes));
    let what = format!(
        "{name}, {product}, compute capability {capability}, {free} of {total} free; its driver knows {driver}"
    );
    line("gpu", &what)
}

fn model(model: &Model) -> Vec<String> {
    let path = match &model.path {
        Some(path) => path.display().to_string(),
        None => "built in".to_owned(),
    };
    let on_gpu = match model.gpu_bytes {
        Some(bytes) => format!(
            "; {} of a GPU's memory with all that a pass takes and {} caches",
            size(bytes),
            model.gpu_cache
        ),
        None => String::new(),
    };
    let needs = format!(
        "{} for the weights, {} for a text of {} tokens{on_gpu}",
        size(model.weights_bytes),
        size(model.cache_bytes),
        model.window,
    );
    let shares: Vec<String> = model
        .runs_on
        .iter()
        .map(|share| place(share, model.layers))
        .collect();
    let what = format!(
        "{} ({path}), template {}, tokenizer {}",
        model.name, model.template, model.tokenizer
    );
    vec![
        line("model", &what),
        line("needs", &needs),
        line("runs on", &shares.join(", ")),
    ]
}

fn place(share: &Share, layers: usize) -> String {
    let device = match &*share.device {
        CPU => "the processor",
        gpu => gpu,
    };
    match (share.layers, share.head) {
        (0, _) => format!("{device}: the head"),
        (all, true) if all == layers => format!("{device}, all {layers} layers"),
        (some, true) => format!("{device}: {some} of {layers} layers and the head"),
        (some, false) => format!("{device}: {some} of {layers} layers"),
    }
}

#[cfg(test)]
mod tests {
    use glm::Split;

    use super::*;
    use crate::command::doctor::shares;

    #[test]
    fn where_layers_go_is_said_in_words() {
        let said = |splits: &[(usize, bool)]| {
            let splits = splits.iter().map(|&(layers, head)| Split { layers, head });
            let shares = shares(40, &["cuda:0", "cuda:1"], &splits.collect::<Vec<_>>());
            let places: Vec<String> = shares.iter().map(|share| place(share, 40)).collect();
            places.join(", ")
        };
        assert_eq!(said(&[]), "the processor, all 40 layers");
        assert_eq!(said(&[(0, false), (40, true)]), "cuda:1, all 40 layers");
        assert_eq!(
            said(&[(25, false), (15, true)]),
            "cuda:0: 25 of 40 layers, cuda:1: 15 of 40 layers and the head"
        );
        assert_eq!(
            said(&[(25, false), (5, false)]),
            "cuda:0: 25 of 40 layers, cuda:1: 5 of 40 layers, the processor: 10 of 40 layers and the head"
        );
        assert_eq!(
            said(&[(40, false), (0, false)]),
            "cuda:0: 40 of 40 layers, the processor: the head"
        );
        let split = Split {
            layers: 40,
            head: true,
        };
        let shares = shares(40, &["cuda:0 + cuda:1"], &[split]);
        assert_eq!(place(&shares[0], 40), "cuda:0 + cuda:1, all 40 layers");
    }
}
