//! `infill model pull` against a hub of our own on this machine.
//!
//! Takes the built binary and [`hub`](crate::hub). Fails with what the store holds then, or with what the hub was asked.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::hub::{Hub, Mood, NAME, REPOSITORY, WEIGHTS, said};
use crate::scripted::Tls;
use crate::tidy;

#[test]
fn what_was_pulled_is_whole_listed_and_verified() {
    let hub = Hub::start("whole", Mood::Good);
    let output = hub.pull();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("registration"), "{}", said(&output));
    let list = hub.listed();
    assert_eq!(list[0]["name"], NAME);
    assert_eq!(list[0]["revision"], "abc123");
    assert!(
        list[0]["licence"]
            .as_str()
            .unwrap()
            .contains("registration")
    );
    let files = ["INFILL-LICENCE.txt", "config.json", "infill.json", WEIGHTS];
    assert_eq!(
        hub.files(NAME),
        files,
        "and nothing of folders or for people"
    );
    let folder = hub.models().join(NAME);
    let licence = fs::read_to_string(folder.join("INFILL-LICENCE.txt")).unwrap();
    assert!(licence.contains("registration"));
    // The name is found by the other commands; that these weights are none is another matter.
    let used = hub.infill(&["model", "logits", "--model", NAME, "--tokens", "1"]);
    assert!(
        said(&used).contains(folder.to_str().unwrap()),
        "{}",
        said(&used)
    );

    assert!(hub.is_as_pulled());
    let shouted = hub.infill(&["model", "verify", &NAME.to_uppercase()]);
    let told = String::from_utf8_lossy(&shouted.stdout).into_owned();
    assert!(told.contains("all as they were pulled"), "{told}");
    fs::write(folder.join("config.json"), "{ }").unwrap();
    assert!(!hub.is_as_pulled());
    let removes = |yes: &[&str]| hub.infill(&[&["model", "remove", NAME], yes].concat());
    assert!(!removes(&[]).status.success(), "nobody said --yes");
    assert!(removes(&["--yes"]).status.success());
    assert_eq!(hub.listed(), json!([]));
    assert_eq!(hub.files(""), [format!("{NAME}.lock")]);
}

/// As behind a company's proxy that looks into TLS: its own authority vouches for every address.
#[test]
fn authorities_that_the_system_trusts_are_trusted() {
    let hub = Hub::start("tls", Mood::Good);
    let front = Tls::before(&hub.address);
    let pull = |authorities: &str| {
        let authorities = tidy::root().join("tests/data/tls").join(authorities);
        let mut command = hub.command(&["model", "pull", NAME]);
        command
            .env("INFILL_ENDPOINT", &front.url)
            .env("SSL_CERT_FILE", authorities)
            .env_remove("SSL_CERT_DIR");
        command.output().expect("the built binary starts")
    };
    let (stranger, trusted) = (pull("other.pem"), pull("ca.pem"));
    assert!(!stranger.status.success(), "{}", said(&stranger));
    assert!(
        said(&stranger).to_lowercase().contains("certificate"),
        "{}",
        said(&stranger)
    );
    assert!(trusted.status.success(), "{}", said(&trusted));
    assert_eq!(hub.listed()[0]["name"], NAME);
}

#[test]
fn a_cut_connection_goes_on_where_it_was_cut() {
    let hub = Hub::start("cut", Mood::Cut);
    // Each connection brings half of the rest, so this one pull gets to the end of the file's last byte but one.
    hub.fails();
    let starts: Vec<usize> = hub.asked(WEIGHTS).iter().map(|asked| asked.start).collect();
    assert_eq!(starts[..3], [0, 5000, 7500]);
    assert_eq!(hub.listed(), json!([]), "half a model is none");
    let partial = format!("{NAME}.partial");
    let used = hub.infill(&["model", "logits", "--model", &partial, "--tokens", "1"]);
    assert!(said(&used).contains("no model"), "{}", said(&used));
    hub.state().mood = Mood::Good;
    hub.pulled();
    assert_eq!(hub.asked(WEIGHTS).last().unwrap().start, 9999);
    assert_eq!(hub.listed()[0]["name"], NAME);
}

#[test]
fn a_hub_without_ranges_sends_everything_again() {
    let hub = Hub::start("whole-again", Mood::Cut);
    hub.fails();
    hub.state().mood = Mood::Whole;
    hub.pulled();
    assert!(hub.is_as_pulled());
}

#[test]
fn a_wrong_file_is_refused_and_thrown_away() {
    let hub = Hub::start("wrong", Mood::Wrong);
    let why = hub.fails();
    assert!(why.contains("checksum"), "{why}");
    assert_eq!(hub.listed(), json!([]));
    assert!(
        !hub.files(&format!("{NAME}.partial"))
            .contains(&WEIGHTS.to_owned())
    );
    hub.state().mood = Mood::Good;
    hub.pulled();
}

#[test]
fn refusals_say_what_to_do() {
    for (status, hint) in [
        (401, "set HF_TOKEN"),
        (403, "accept their licence"),
        (404, "--revision"),
        (429, "later"),
    ] {
        let hub = Hub::start(&format!("refuse{status}"), Mood::Refuse(status));
        let why = hub.fails();
        assert!(why.contains(hint), "{why}");
    }
    // The hub shows what a gated repository holds to everybody.
    let hub = Hub::start("gated", Mood::RefuseFiles(403));
    let why = hub.fails();
    let page = format!("{}/{REPOSITORY}", hub.address);
    assert!(
        why.contains("accept their licence") && why.contains(&page),
        "{why}"
    );
    assert_eq!(
        hub.asked("/config.json").len() + hub.asked(WEIGHTS).len(),
        1,
        "asked once"
    );
    let nobody = hub.infill(&["model", "pull", NAME, "--endpoint", "http://127.0.0.1:9"]);
    assert!(said(&nobody).contains("cannot reach"), "{}", said(&nobody));
}

#[test]
fn the_option_stands_before_the_variable() {
    let (chosen, other) = (
        Hub::start("chosen", Mood::Good),
        Hub::start("other", Mood::Good),
    );
    let pull = |more: &[&str]| {
        let mut command = chosen.command(&[&["model", "pull", NAME], more].concat());
        command
            .env_remove("INFILL_ENDPOINT")
            .env("HF_ENDPOINT", &other.address);
        let output = command.output().expect("the built binary starts");
        assert!(output.status.success(), "{}", said(&output));
    };
    pull(&["--endpoint", &format!("{}/", chosen.address)]);
    assert!(other.asked("").is_empty() && !chosen.asked("").is_empty());
    chosen.state().asked.clear();
    pull(&[]);
    assert!(chosen.asked("").is_empty() && !other.asked("").is_empty());
}

#[test]
fn a_token_goes_to_its_own_endpoint_only() {
    let (hub, far) = (
        Hub::start("token", Mood::Good),
        Hub::start("far", Mood::Good),
    );
    let pull = |variables: &[(&str, &str)]| {
        let _ = fs::remove_dir_all(&hub.home);
        hub.state().asked.clear();
        let mut command = hub.command(&["model", "pull", NAME]);
        command
            .env_remove("INFILL_ENDPOINT")
            .envs(variables.iter().copied());
        let output = command.output().expect("the built binary starts");
        assert!(output.status.success(), "{}", said(&output));
        let asked = hub.asked("");
        assert!(asked.len() >= 3);
        asked
            .into_iter()
            .map(|asked| asked.token)
            .collect::<Vec<_>>()
    };
    let secret = Some("secret".to_owned());
    let all = |tokens: &[Option<String>], wanted: &Option<String>| {
        tokens.iter().all(|token| token == wanted)
    };
    let address = hub.address.as_str();
    let (theirs, ours) = (("HF_ENDPOINT", address), ("INFILL_ENDPOINT", address));
    assert!(all(&pull(&[theirs, ("HF_TOKEN", "secret")]), &secret));
    assert!(all(&pull(&[ours, ("HF_TOKEN", "secret")]), &None));
    assert!(all(&pull(&[ours, ("INFILL_TOKEN", "secret")]), &secret));
    // Within a host it goes along, to another it does not.
    hub.state().mood = Mood::Moved(String::new());
    assert!(all(&pull(&[theirs, ("HF_TOKEN", "secret")]), &secret));
    assert!(!hub.asked(WEIGHTS).is_empty());
    let elsewhere = far.address.replace("127.0.0.1", "localhost");
    hub.state().mood = Mood::Moved(elsewhere);
    pull(&[theirs, ("HF_TOKEN", "secret")]);
    let tokens: Vec<_> = far.asked("").into_iter().map(|asked| asked.token).collect();
    assert!(!tokens.is_empty() && all(&tokens, &None), "{tokens:?}");

    hub.state().mood = Mood::Refuse(401);
    let mut command = hub.command(&["model", "pull", NAME]);
    let output = command.env("HF_TOKEN", "secret").output().unwrap();
    assert!(said(&output).contains("INFILL_TOKEN"), "{}", said(&output));
    assert!(!said(&output).contains("secret"));
}

#[test]
fn another_revision_replaces_the_files_and_keeps_what_is_the_same() {
    let hub = Hub::start("revision", Mood::Good);
    hub.state().large = vec![
        ("pytorch_model.bin", b"old".repeat(100)),
        ("vocab.txt", b"same".to_vec()),
    ];
    hub.pulled();
    hub.state().revision = "def456";
    hub.state().asked.clear();
    hub.pulled();
    assert_eq!(hub.listed()[0]["revision"], "def456");
    assert!(
        hub.asked("bin").is_empty(),
        "the same files are not fetched again"
    );

    hub.state().revision = "fed789";
    hub.state().large = vec![
        (WEIGHTS, b"new".repeat(100)),
        ("vocab.txt", b"same".to_vec()),
    ];
    hub.pulled();
    let files = [
        "INFILL-LICENCE.txt",
        "config.json",
        "infill.json",
        WEIGHTS,
        "vocab.txt",
    ];
    assert_eq!(hub.files(NAME), files);
    assert!(hub.asked("vocab.txt").is_empty());
    assert!(hub.is_as_pulled());
}

#[test]
fn what_an_interrupted_pull_left_of_another_revision_is_not_mixed_in() {
    let hub = Hub::start("mixed", Mood::Cut);
    hub.state()
        .large
        .push(("tokenizer.model", b"old".repeat(100)));
    hub.fails();
    hub.state().revision = "def456";
    hub.state().mood = Mood::Good;
    hub.state().large = vec![(WEIGHTS, b"9876543210".repeat(1000))];
    hub.state().asked.clear();
    hub.pulled();
    assert_eq!(hub.asked(WEIGHTS)[0].start, 0);
    let files = ["INFILL-LICENCE.txt", "config.json", "infill.json", WEIGHTS];
    assert_eq!(hub.files(NAME), files);
}

#[test]
fn two_pulls_of_a_model_do_not_meet() {
    let hub = Hub::start("lock", Mood::Hold);
    let mut first = hub.command(&["model", "pull", NAME]);
    let mut first = first.stderr(Stdio::null()).spawn().expect("it starts");
    let start = Instant::now();
    while hub.asked(WEIGHTS).is_empty() && start.elapsed() < Duration::from_secs(60) {
        thread::sleep(Duration::from_millis(5));
    }
    let why = hub.fails();
    assert!(why.contains("another infill"), "{why}");
    let removed = hub.infill(&["model", "remove", NAME, "--yes"]);
    assert!(
        said(&removed).contains("another infill"),
        "{}",
        said(&removed)
    );
    // A process that is killed leaves no lock behind.
    first.kill().unwrap();
    first.wait().unwrap();
    hub.state().mood = Mood::Good;
    hub.pulled();
}

#[test]
fn a_crash_while_a_model_is_replaced_or_removed_is_made_good() {
    let hub = Hub::start("crash", Mood::Good);
    hub.pulled();
    let (folder, old) = (
        hub.models().join(NAME),
        hub.models().join(format!("{NAME}.old.partial")),
    );
    // The model was out of the way and the new one not in its place yet.
    fs::rename(&folder, &old).unwrap();
    assert_eq!(hub.listed(), json!([]));
    hub.pulled();
    assert!(!old.exists() && hub.listed()[0]["name"] == NAME);
    // The new one was in its place and the old one not gone yet.
    fs::create_dir_all(old.join("rest")).unwrap();
    hub.pulled();
    assert!(!old.exists());
    // A file is lost.
    fs::remove_file(folder.join("config.json")).unwrap();
    hub.pulled();
    assert!(hub.is_as_pulled());
    // Removing got as far as moving it away.
    fs::rename(&folder, &old).unwrap();
    assert!(
        hub.infill(&["model", "remove", NAME, "--yes"])
            .status
            .success()
    );
    assert_eq!(hub.files(""), [format!("{NAME}.lock")]);
}

#[test]
fn one_gguf_file_of_several_is_chosen_by_its_quantization() {
    let hub = Hub::start("gguf", Mood::Good);
    hub.state().large = vec![
        ("m-Q8_0.gguf", b"eight".to_vec()),
        ("m-Q4_K_M.gguf", b"four".to_vec()),
    ];
    let why = hub.fails();
    assert!(why.contains("m-Q8_0.gguf"), "{why}");
    let output = hub.infill(&["model", "pull", &format!("{NAME}:q4_k_m")]);
    assert!(output.status.success(), "{}", said(&output));
    let name = format!("{NAME}--q4_k_m");
    assert!(hub.files(&name).contains(&"m-Q4_K_M.gguf".to_owned()));
    assert!(!hub.files(&name).contains(&"m-Q8_0.gguf".to_owned()));
}

#[test]
fn a_hub_that_speaks_as_modelscope_does_is_understood() {
    let hub = Hub::start("modelscope", Mood::Good);
    hub.state().modelscope = true;
    let output = hub.pull();
    assert!(output.status.success(), "{}", said(&output));
    let list = hub.listed();
    assert_eq!(list[0]["repository"], "ZhipuAI/codegeex4-all-9b");
    assert!(
        list[0]["licence"]
            .as_str()
            .unwrap()
            .contains("registration")
    );
    assert_eq!(
        hub.asked(WEIGHTS)[0].path,
        format!("/models/ZhipuAI/{NAME}/resolve/master/{WEIGHTS}")
    );
    assert!(hub.is_as_pulled());
    hub.state().modelscope = false;
    hub.state().revision = "no such";
    let other = hub.infill(&["model", "pull", "a/b"]);
    assert!(said(&other).contains("--revision"), "{}", said(&other));
}
