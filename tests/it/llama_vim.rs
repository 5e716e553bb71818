//! What plugins made for llama.cpp's server ask of ours: llama.vim and llama.vscode, request by request.
//!
//! The requests are those of llama.vim of January 2026 (commit a1c8e6e) and of llama.vscode of August 2026 (commit
//! 3938fb3) with all their keys, about files of our own. Each answer must have what these plugins read of it: the text,
//! the figures of their status lines, and nothing in its place that they would stumble over.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use serde_json::{Value, json};

use crate::serving::Server;

/// What llama.vim asks to be told, by the paths that it then looks up.
const TOLD: [&str; 11] = [
    "content",
    "timings/prompt_n",
    "timings/prompt_ms",
    "timings/prompt_per_token_ms",
    "timings/prompt_per_second",
    "timings/predicted_n",
    "timings/predicted_ms",
    "timings/predicted_per_token_ms",
    "timings/predicted_per_second",
    "truncated",
    "tokens_cached",
];

const PREFIX: &str = "import shapes\n\ndef main():\n    width = 2\n";
const SUFFIX: &str = "\n    print(size)\n\nmain()\n";

/// Pieces of other files, as llama.vim has gathered them; `time` is Vim's own.
fn pieces(time: &Value) -> Value {
    json!([
        { "text": "def area(width, height):\n    return width * height\n\n", "time": time, "filename": "shapes.py" },
        { "text": "class Box:\n    def __init__(self, width):\n        self.width = width\n", "time": time, "filename": "" },
    ])
}

/// llama.vim at a cursor.
fn at_cursor() -> Value {
    json!({
        "id_slot": 0,
        "input_prefix": PREFIX,
        "input_suffix": SUFFIX,
        "input_extra": pieces(&json!([7412, 388_112_095])),
        "prompt": "    size = ",
        "n_predict": 128,
        "stop": [],
        "n_indent": 4,
        "top_k": 40,
        "top_p": 0.90,
        "samplers": ["top_k", "top_p", "infill"],
        "stream": false,
        "cache_prompt": true,
        "t_max_prompt_ms": 500,
        "t_max_predict_ms": 250,
        "response_fields": TOLD,
        "model": "",
    })
}

/// llama.vim when it has gathered a piece, so that the server has read it by the next cursor.
fn warming() -> Value {
    json!({
        "id_slot": 0,
        "input_prefix": "",
        "input_suffix": "",
        "input_extra": pieces(&json!([7412, 388_112_095])),
        "prompt": "",
        "n_predict": 0,
        "temperature": 0.0,
        "samplers": [],
        "stream": false,
        "cache_prompt": true,
        "t_max_prompt_ms": 1,
        "t_max_predict_ms": 1,
        "response_fields": [""],
        "model": "",
    })
}

/// llama.vscode at a cursor; it names no fields.
fn at_cursor_in_vscode() -> Value {
    json!({
        "id_slot": 0,
        "input_prefix": PREFIX,
        "input_suffix": SUFFIX,
        "input_extra": pieces(&json!(1_767_225_600_000_u64)),
        "prompt": "    size = ",
        "n_predict": 128,
        "n_cmpl": 3,
        "top_k": 40,
        "top_p": 0.99,
        "stream": false,
        "samplers": ["top_k", "top_p", "infill"],
        "cache_prompt": true,
        "n_indent": 4,
        "t_max_prompt_ms": 500,
        "t_max_predict_ms": 500,
    })
}

/// llama.vscode when it has gathered a piece.
fn warming_in_vscode() -> Value {
    json!({
        "id_slot": 0,
        "input_prefix": "",
        "input_suffix": "",
        "input_extra": pieces(&json!(1_767_225_600_000_u64)),
        "prompt": "",
        "n_predict": 0,
        "samplers": [],
        "cache_prompt": true,
        "t_max_prompt_ms": 500,
        "t_max_predict_ms": 1,
    })
}

fn ask(server: &Server, body: &Value) -> Value {
    let (status, answer) = server.post("/infill", body);
    assert_eq!(status, 200, "{answer}");
    answer
}

fn without(mut body: Value, key: &str) -> Value {
    body.as_object_mut().unwrap().remove(key).unwrap();
    body
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

/// The tokens that the server has written so far.
fn written(server: &Server) -> f64 {
    server.figure("infill_tokens_total{kind=\"written\"}")
}

/// What starts a server of the built-in model, and one of a model that reads from left to right.
const MODELS: [&[&str]; 2] = [&[], &["--model", "pairs.gguf"]];

/// The request with all the time that its answer takes, and all of the answer's fields.
fn at_leisure(body: Value) -> Value {
    without(without(body, "t_max_predict_ms"), "response_fields")
}

#[test]
fn llama_vim_is_told_what_it_shows() {
    for model in MODELS {
        let server = Server::start(model);
        let answer = ask(&server, &at_cursor());
        let told = answer.as_object().unwrap();
        for path in TOLD {
            assert!(told.contains_key(path), "no {path} in {answer}");
        }
        assert_eq!(told.len(), TOLD.len(), "{answer}");

        let text = answer["content"].as_str().unwrap();
        assert!(!text.trim().is_empty(), "{answer}");
        assert_eq!(answer["truncated"], false);
        let count = |path: &str| answer[path].as_u64().unwrap();
        let figure = |path: &str| answer[path].as_f64().unwrap();
        assert!(count("timings/prompt_n") > 10 && count("timings/predicted_n") > 0);
        assert_eq!(
            count("tokens_cached"),
            count("timings/prompt_n") + count("timings/predicted_n"),
            "all of it is new"
        );
        for kind in ["prompt", "predicted"] {
            let tokens = figure(&format!("timings/{kind}_n"));
            let time = figure(&format!("timings/{kind}_ms"));
            let each = figure(&format!("timings/{kind}_per_token_ms"));
            let speed = figure(&format!("timings/{kind}_per_second"));
            assert!(time > 0.0, "{answer}");
            assert!((each * tokens - time).abs() < 1e-6 * time, "{answer}");
            assert!(
                (speed * time / 1e3 - tokens).abs() < 1e-6 * tokens,
                "{answer}"
            );
        }

        // llama.vim takes an answer for one only if this stands in it.
        let (_, raw) = server.ask_with("POST", "/infill", "", &at_cursor().to_string());
        assert!(
            raw.starts_with('{') && raw.contains("\"content\":\""),
            "{raw}"
        );
        // Of a key that is empty it sends an empty one.
        let headers = "\r\nAuthorization: Bearer ";
        let (status, _) = server.ask_with("POST", "/infill", headers, &at_cursor().to_string());
        assert_eq!(status, 200);
        // Where there is no time, the answer ends once a line is complete.
        let hurried = ask(&server, &with(at_cursor(), "t_max_predict_ms", json!(0)));
        assert!(text.starts_with(hurried["content"].as_str().unwrap()));
    }
}

#[test]
fn a_text_that_does_not_fit_is_told_to_be_cut() {
    for model in MODELS {
        let server = Server::start(model);
        let long = "width = 2\n".repeat(2000);
        let answer = ask(&server, &with(at_cursor(), "input_prefix", json!(long)));
        assert_eq!(answer["truncated"], true, "{answer}");
        assert!(answer["content"].is_string() && answer["tokens_cached"].as_u64() > Some(100));
    }
}

#[test]
fn warming_up_reads_and_writes_nothing() {
    for model in MODELS {
        let server = Server::start(model);
        assert_eq!(
            ask(&server, &warming()),
            json!({}),
            "it asks to be told nothing"
        );
        for body in [without(warming(), "response_fields"), warming_in_vscode()] {
            let answer = ask(&server, &body);
            assert_eq!(answer["content"], "", "{answer}");
            assert_eq!(answer["tokens_predicted"], 0, "{answer}");
            assert_eq!(answer["timings"]["predicted_n"], 0, "{answer}");
        }
        assert_eq!(written(&server), 0.0);
        let text = ask(&server, &at_leisure(at_cursor()))["content"].clone();
        ask(&server, &warming());
        assert_eq!(ask(&server, &at_leisure(at_cursor()))["content"], text);
    }
}

/// What was read with an `n_predict` of 0 need not be read again, and the answer is what it would have been.
#[test]
fn what_was_warmed_up_is_there() {
    for model in MODELS {
        let server = Server::start(model);
        let body = at_leisure(at_cursor());
        let warmed = ask(&server, &with(body.clone(), "n_predict", json!(0)));
        let length = warmed["tokens_evaluated"].as_u64().unwrap();
        assert_eq!(warmed["timings"]["prompt_n"], length, "{warmed}");
        let answer = ask(&server, &body);
        assert_eq!(answer["tokens_evaluated"], length, "{answer}");
        assert!(
            answer["timings"]["prompt_n"].as_u64() < Some(length),
            "{answer}"
        );

        let cold = ask(&Server::start(model), &body);
        assert_eq!(cold["content"], answer["content"]);
    }
}

#[test]
fn llama_vscode_is_told_what_it_shows() {
    for model in MODELS {
        let server = Server::start(model);
        let answer = ask(&server, &at_cursor_in_vscode());
        assert!(
            !answer["content"].as_str().unwrap().trim().is_empty(),
            "{answer}"
        );
        let (_, models) = server.get("/v1/models");
        let models: Value = serde_json::from_str(&models).unwrap();
        let settings = &answer["generation_settings"];
        // It reads `n_ctx` without looking whether there are settings at all.
        assert_eq!(
            settings["n_ctx"], models["data"][0]["max_model_len"],
            "{answer}"
        );
        assert_eq!(settings["n_predict"], 128, "{answer}");
        assert_eq!(settings["temperature"], 0.0, "the likeliest tokens");
        assert!((settings["top_p"].as_f64().unwrap() - 0.99).abs() < 1e-6);
        assert!(answer["tokens_cached"].is_u64(), "{answer}");
        for (figure, is_whole) in [
            ("prompt_n", true),
            ("prompt_ms", false),
            ("prompt_per_second", false),
            ("predicted_n", true),
            ("predicted_ms", false),
            ("predicted_per_second", false),
        ] {
            let told = &answer["timings"][figure];
            assert!(
                told.is_number() && told.is_u64() == is_whole,
                "{figure}: {answer}"
            );
        }
    }
}

/// The settings are those that the answer was written by, so that it can be written again.
#[test]
fn settings_that_are_told_give_the_answer_again() {
    let server = Server::start(&["--model", "pairs.gguf"]);
    let body = without(at_cursor_in_vscode(), "t_max_predict_ms");
    let body = with(body, "temperature", json!(2.0));
    let body = with(body, "stop", json!(["\n\n\n"]));
    let answer = ask(&server, &body);
    let settings = &answer["generation_settings"];
    assert_eq!(settings["temperature"], 2.0);
    assert_eq!(settings["stop"], json!(["\n\n\n"]));
    assert_eq!(settings["stream"], false);
    let again = ask(
        &server,
        &with(body.clone(), "seed", settings["seed"].clone()),
    );
    assert_eq!(again["content"], answer["content"]);
    assert_eq!(again["generation_settings"], *settings);
}

/// Plugins ask while one types: half of a word is gone on with as the model would have, and not said again.
#[test]
fn a_word_that_is_being_typed_is_gone_on_with() {
    for arguments in [&[][..], &["--model", "pairs.gguf"]] {
        let server = Server::start(arguments);
        let content = |line: &str| {
            let body = with(at_cursor(), "prompt", json!(line));
            let body = with(body, "filename", json!("main.py"));
            let body = with(body, "t_max_predict_ms", json!(600_000));
            let answer = ask(&server, &with(body, "n_predict", json!(12)));
            answer["content"].as_str().unwrap().to_owned()
        };
        // Which letter a model goes on from with a word is its own business.
        let begun = ["r", "s", "n", "w"]
            .map(|letter| letter.to_owned() + &content(&format!("    {letter}")));
        let length =
            |whole: &str| whole.len() - whole.trim_start_matches(char::is_alphanumeric).len();
        let whole = begun.iter().find(|whole| length(whole) > 2);
        let whole = whole.unwrap_or_else(|| panic!("no word: {begun:?}"));
        let word = length(whole);
        for typed in 2..word {
            let (head, rest) = whole.split_at(typed);
            let found = content(&format!("    {head}"));
            // The length of an answer is counted in tokens, of which the head takes some.
            let shared = found.len().min(rest.len());
            assert!(shared >= word - typed, "{head}: {found}");
            assert_eq!(found[..shared], rest[..shared], "{head}");
        }
    }
}

/// In mid-word nothing is suggested; the plugins are still told so in the shape that they read.
#[test]
fn nothing_to_fill_is_an_empty_answer() {
    let server = Server::start(&[]);
    let inside = |body: Value| {
        with(
            with(body, "prompt", json!("    wi")),
            "input_suffix",
            json!("dth = 3\n"),
        )
    };
    let answer = ask(&server, &inside(at_cursor()));
    assert_eq!(answer.as_object().unwrap().len(), TOLD.len(), "{answer}");
    assert_eq!(answer["content"], "", "{answer}");
    let answer = ask(&server, &inside(at_cursor_in_vscode()));
    assert!(
        answer["generation_settings"]["n_ctx"].as_u64() > Some(0),
        "{answer}"
    );
    assert_eq!(written(&server), 0.0);
}
