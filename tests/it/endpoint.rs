//! `infill translate --endpoint`: the same work, written by a server that answers well, badly, slowly, or not at all.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::scripted::{Asked, Reply, Scripted, Tls};
use crate::serving::Server;
use crate::{harness, tidy};

const PATIENCE: Duration = Duration::from_secs(120);

/// A folder with a list of so many units.
fn folder(count: usize) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let line = |number| {
        let code = format!("def f{number}(a):\n    return a + {number}\n");
        json!({ "id": format!("unit-{number}"), "code": code }).to_string() + "\n"
    };
    let lines: String = (0..count).map(line).collect();
    fs::write(folder.path().join("list.jsonl"), lines).unwrap();
    folder
}

fn translate(folder: &Path, url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(harness::binary());
    command
        .args(["translate", "--from", "python", "--to", "javascript"])
        .args(["--jsonl", "list.jsonl", "--out", "out", "--endpoint", url])
        .args(arguments)
        .env_remove("INFILL_ENDPOINT_KEY")
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

/// Runs it; gives the exit code and all that was said.
fn run(command: &mut Command) -> (i32, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let said = String::from_utf8([stdout, stderr].concat()).unwrap();
    (status.code().unwrap(), said)
}

/// Which unit is asked for.
fn unit(asked: &Asked) -> usize {
    let text = asked.text();
    let (_, behind) = text.split_once("def f").unwrap();
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// A right translation of what is asked for.
fn right(asked: &Asked) -> Reply {
    let number = unit(asked);
    let code = format!("function f{number}(a) {{\n  return a + {number};\n}}\n");
    // A text is gone on with; in a conversation code is quoted.
    Reply::Says(match asked.path.ends_with("/chat/completions") {
        true => format!("```javascript\n{code}```"),
        false => code,
    })
}

fn results(folder: &Path) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(folder.join("out/translations.jsonl")).unwrap();
    let line = |line| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["id"].as_str().unwrap().to_owned(), line)
    };
    text.lines().map(line).collect()
}

#[track_caller]
fn assert_all_parse(folder: &Path, count: usize) {
    let results = results(folder);
    assert_eq!(results.len(), count);
    for (name, result) in results {
        assert_eq!(result["status"], "parses", "{name}: {result}");
    }
}

#[test]
fn a_server_that_answers_well() {
    let server =
        Scripted::start(|asked| Reply::Late(Duration::from_millis(30), Box::new(right(asked))));
    let folder = folder(40);
    let arguments = ["--at-once", "8", "--seed", "5"];
    let mut command = translate(folder.path(), &server.url, &arguments);
    let (code, said) = run(command.env("INFILL_ENDPOINT_KEY", "very-secret"));
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("40 parses"), "{said}");
    assert!(said.contains("200 tokens written"), "{said}");
    assert_all_parse(folder.path(), 40);
    let asked = server.asked();
    assert_eq!(asked.len(), 40);
    for one in &asked {
        assert_eq!(one.path, "/v1/chat/completions");
        assert_eq!(one.key.as_deref(), Some("Bearer very-secret"));
        assert_eq!(
            (&one.body["model"], &one.body["seed"]),
            (&json!("scripted"), &json!(5))
        );
    }
    let most = server.most_at_once();
    assert!((2..=8).contains(&most), "{most} at once");
    // The key is nowhere but in the requests.
    assert!(!said.contains("very-secret"), "{said}");
    for entry in walk(folder.path()) {
        let text = fs::read(&entry).unwrap();
        assert!(
            !String::from_utf8_lossy(&text).contains("very-secret"),
            "{}",
            entry.display()
        );
    }
    // What is done is not asked for again.
    assert_eq!(
        run(&mut translate(folder.path(), &server.url, &arguments)).0,
        0
    );
    assert_eq!(server.asked().len(), 40);
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let nested = |path: std::path::PathBuf| match path.is_dir() {
        true => walk(&path),
        false => vec![path],
    };
    entries.flat_map(nested).collect()
}

/// Every way to answer badly comes once, at different units; each unit gets its translation in the end.
#[test]
fn a_server_that_answers_badly_at_first() {
    let server = Scripted::start(|asked| match asked.number {
        0 => Reply::status(500, "out of order"),
        1 => Reply::Status(
            429,
            vec![("retry-after", "1".to_owned())],
            "slow down".to_owned(),
        ),
        2 => Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"choices\": [{\"mess"),
        3 => Reply::Raw(b""),
        4 => Reply::status(200, "<html>welcome</html>"),
        5 => Reply::status(200, "{\"choices\": []}"),
        6 => Reply::status(200, "{\"choices\": \"none\"}"),
        7 => Reply::status(503, "{\"error\": {\"message\": \"loading\"}}"),
        _ => right(asked),
    });
    let folder = folder(12);
    let (code, said) = run(&mut translate(
        folder.path(),
        &server.url,
        &["--repair", "0"],
    ));
    assert_eq!(code, 0, "{said}");
    assert_all_parse(folder.path(), 12);
    assert_eq!(server.asked().len(), 12 + 8);
}

#[test]
fn content_that_is_no_translation_is_repaired_or_told() {
    // Of odd units the first answer is no code, of unit 4 every one.
    let server = Scripted::start(|asked| {
        let is_again = asked.body["messages"].as_array().unwrap().len() > 2;
        match unit(asked) {
            4 => Reply::Says("```javascript\nfunction f4(a { return\n```".to_owned()),
            number if number % 2 == 1 && !is_again => {
                Reply::Says(format!("```javascript\nfunction f{number}(a {{\n```"))
            }
            _ => right(asked),
        }
    });
    let folder = folder(6);
    let (code, said) = run(&mut translate(
        folder.path(),
        &server.url,
        &["--repair", "2"],
    ));
    assert_eq!(code, 3, "{said}");
    let results = results(folder.path());
    let attempts = |number: usize| {
        results[&format!("unit-{number}")]["attempts"]
            .as_u64()
            .unwrap()
    };
    let all: Vec<u64> = (0..6).map(attempts).collect();
    assert_eq!(all, [1, 2, 1, 2, 3, 2]);
    assert_eq!(results["unit-4"]["status"], "failed");
}

#[test]
fn a_unit_that_the_server_refuses_fails_alone_with_its_words() {
    let server = Scripted::start(|asked| match unit(asked) {
        1 => Reply::status(
            400,
            "{\"error\": {\"message\": \"maximum context length is 9\"}}",
        ),
        _ => right(asked),
    });
    let folder = folder(3);
    let (code, said) = run(&mut translate(folder.path(), &server.url, &[]));
    assert_eq!(code, 3, "{said}");
    let results = results(folder.path());
    let reason = results["unit-1"]["reason"].as_str().unwrap();
    assert!(reason.contains("maximum context length is 9"), "{reason}");
    assert_eq!(results["unit-2"]["status"], "parses");
    assert_eq!(server.asked().len(), 3, "no use in asking again");
}

/// A server that replies so to unit 0 for so many times, and answers some of the others before each of them.
fn failing_among_others(times: usize, reply: Reply) -> Scripted {
    let (tries, others) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Scripted::start(move |asked| {
        if unit(asked) != 0 {
            // Some are left for each try.
            let number = others.load(SeqCst);
            wait_until(|| tries.load(SeqCst) >= times || number < 4 * tries.load(SeqCst));
            others.fetch_add(1, SeqCst);
            return right(asked);
        }
        if tries.fetch_add(1, SeqCst) >= times {
            return right(asked);
        }
        // With two at once, who asks for the second of them has the first.
        let goal = others.load(SeqCst) + 2;
        wait_until(|| others.load(SeqCst) >= goal);
        reply.clone()
    })
}

/// Waits for what another request brings about.
fn wait_until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it does not come about");
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_unit_that_breaks_the_server_fails_alone() {
    let server = failing_among_others(2, Reply::status(500, "cannot read this one"));
    let folder = folder(30);
    let arguments = ["--at-once", "2", "--retries", "1"];
    let (code, said) = run(&mut translate(folder.path(), &server.url, &arguments));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("29 parses, 1 failed"), "{said}");
    let reason = results(folder.path())["unit-0"]["reason"].to_string();
    let told = "cannot read this one, 2 times in a row, while others were answered";
    assert!(reason.contains(told), "{reason}");
}

#[test]
fn a_busy_server_is_asked_as_long_as_it_answers_others() {
    let server = failing_among_others(5, Reply::status(429, "too many requests"));
    let folder = folder(30);
    let arguments = ["--at-once", "2", "--retries", "1"];
    let (code, said) = run(&mut translate(folder.path(), &server.url, &arguments));
    assert_eq!(code, 0, "{said}");
    assert_all_parse(folder.path(), 30);
    assert_eq!(server.asked().len(), 30 + 5);
}

/// As of a model that only reasons, behind a server that counts nothing.
#[test]
fn an_answer_without_a_word_is_one() {
    let silent = "{\"choices\": [{\"message\": {\"content\": null}}]}";
    let server = Scripted::start(|asked| match unit(asked) {
        1 => Reply::status(200, silent),
        _ => right(asked),
    });
    let folder = folder(3);
    let (code, said) = run(&mut translate(
        folder.path(),
        &server.url,
        &["--repair", "0"],
    ));
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("2 parses, 1 failed"), "{said}");
    assert!(said.contains("does not count tokens"), "{said}");
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn which_model_is_asked_and_how() {
    let none = Scripted::with_models(&[], right);
    let several = Scripted::with_models(&["small", "large"], right);
    let folder = folder(2);
    for (server, told) in [
        (&none, "lists no models; name one with --endpoint-model"),
        (&several, "--endpoint-model: small, large"),
    ] {
        let (code, said) = run(&mut translate(folder.path(), &server.url, &[]));
        assert!(code == 1 && said.contains(told), "{said}");
    }
    assert!(several.asked().is_empty());

    // Its address with the path that clients of OpenAI's want to have; a model that goes on with text.
    let url = format!("{}/v1/", several.url);
    let arguments = [
        "--endpoint-model",
        "large",
        "--endpoint-template",
        "codegeex_v1",
    ];
    let (code, said) = run(&mut translate(folder.path(), &url, &arguments));
    assert!(code == 0 && said.contains("2 parses"), "{said}");
    for asked in several.asked() {
        assert_eq!(asked.path, "/v1/completions");
        assert_eq!(asked.body["model"], "large");
        let prompt = asked.body["prompt"].as_str().unwrap();
        assert!(
            prompt.starts_with("code translation\nPython:\n"),
            "{prompt}"
        );
    }
    let (code, said) = run(&mut translate(
        folder.path(),
        &url,
        &["--endpoint-model", "large", "--endpoint-template", "none"],
    ));
    assert!(code == 1 && said.contains("glm4_v1"), "{said}");
}

/// Requests to this machine do not go by a proxy, which would be given the key; others do.
#[test]
fn a_proxy_is_for_other_machines() {
    let server = Scripted::start(right);
    let proxy = Scripted::start(right);
    let folder = folder(2);
    let ask = |url: &str, key: Option<&str>| {
        let mut command = translate(folder.path(), url, &[]);
        for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
            command.env(name, &proxy.url);
        }
        command.env_remove("NO_PROXY").env_remove("no_proxy");
        command.envs(key.map(|key| ("INFILL_ENDPOINT_KEY", key)));
        let (code, said) = run(&mut command);
        assert_eq!(code, 0, "{said}");
    };
    ask(&server.url, Some("very-secret"));
    assert_eq!((server.asked().len(), proxy.asked().len()), (2, 0));
    ask("http://models.invalid:8000", None);
    assert_eq!((server.asked().len(), proxy.asked().len()), (2, 2));
    let path = &proxy.asked()[0].path;
    assert_eq!(path, "http://models.invalid:8000/v1/chat/completions");
}

/// As behind a company's own authority, which the system trusts.
#[test]
fn a_server_behind_tls() {
    let server = Scripted::start(right);
    let folder = folder(1);
    let front = Tls::before(&server.url);
    let ask = |authority: &str, seed: &str| {
        let arguments = ["--retries", "0", "--seed", seed];
        let mut command = translate(folder.path(), &front.url, &arguments);
        command
            .env("INFILL_ENDPOINT_KEY", "very-secret")
            .env(
                "SSL_CERT_FILE",
                tidy::root().join("tests/data/tls").join(authority),
            )
            .env_remove("SSL_CERT_DIR");
        run(&mut command)
    };
    let (code, said) = ask("other.pem", "1");
    assert_eq!(code, 1, "{said}");
    assert!(said.to_lowercase().contains("certificate"), "{said}");
    assert!(server.asked().is_empty());
    let (code, said) = ask("ca.pem", "2");
    assert_eq!(code, 0, "{said}");
    assert_eq!(server.asked()[0].key.as_deref(), Some("Bearer very-secret"));
}

#[test]
fn a_server_that_is_too_slow_is_asked_again_and_then_told() {
    let server = Scripted::start(|asked| match asked.number {
        0 => Reply::Late(PATIENCE, Box::new(right(asked))),
        _ => right(asked),
    });
    let folder = folder(2);
    let (code, said) = run(&mut translate(
        folder.path(),
        &server.url,
        &["--timeout", "1"],
    ));
    assert_eq!(code, 0, "{said}");
    assert_all_parse(folder.path(), 2);
    assert_eq!((server.asked().len(), server.left()), (3, 1));

    let never = Scripted::start(|asked| Reply::Late(PATIENCE, Box::new(right(asked))));
    let arguments = ["--timeout", "1", "--retries", "1", "--seed", "2"];
    let (code, said) = run(&mut translate(folder.path(), &never.url, &arguments));
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("no answer within 1 s, 2 times in a row"),
        "{said}"
    );
}

#[test]
fn a_server_that_is_not_there_or_says_nothing_right() {
    let folder = folder(2);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (code, said) = run(&mut translate(folder.path(), &nobody, &["--retries", "0"]));
    assert_eq!(code, 1);
    assert!(
        said.contains("cannot reach http://127") && said.contains("--endpoint"),
        "{said}"
    );

    for (status, words) in [
        (401, "INFILL_ENDPOINT_KEY"),
        (403, "INFILL_ENDPOINT_KEY"),
        (404, "--endpoint-model (other)"),
        (302, "302"),
    ] {
        let server = Scripted::start(move |_| {
            Reply::status(status, "{\"error\": {\"message\": \"no way\"}}")
        });
        let arguments = ["--endpoint-model", "other", "--at-once", "1"];
        let (code, said) = run(&mut translate(folder.path(), &server.url, &arguments));
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(words) && said.contains("no way"), "{said}");
        assert_eq!(server.asked().len(), 1, "no use in asking again");
    }
    let garbage = Scripted::start(|_| Reply::status(200, "<html>sign in</html>"));
    let (code, said) = run(&mut translate(
        folder.path(),
        &garbage.url,
        &["--retries", "1"],
    ));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("JSON: <html>sign in</html>"), "{said}");
}

#[test]
fn flags_of_a_model_in_this_process_do_not_go_with_a_server() {
    let folder = folder(1);
    for arguments in [
        ["--model", "m"],
        ["--quant", "q8_0"],
        ["--threads", "1"],
        ["--window", "10"],
        ["--memory", "10"],
        ["--device", "cpu"],
    ] {
        let (code, said) = run(&mut translate(
            folder.path(),
            "http://127.0.0.1:9",
            &arguments,
        ));
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("cannot be used with"), "{said}");
    }
}

#[test]
fn requests_keep_to_the_limit() {
    let server = Scripted::start(right);
    let folder = folder(6);
    // One in 200 ms.
    let arguments = ["--requests-per-minute", "300"];
    let began = Instant::now();
    let (code, said) = run(&mut translate(folder.path(), &server.url, &arguments));
    assert_eq!(code, 0, "{said}");
    let asked = server.asked();
    assert_eq!(asked.len(), 6);
    // The list of models takes a turn, too. Only too early would be wrong: what is late says nothing.
    for (number, asked) in asked.iter().enumerate() {
        let after = asked.at.duration_since(began);
        let least = Duration::from_millis(200 * (number as u64 + 1));
        assert!(after >= least, "request {number} came after {after:?}");
    }
}

#[test]
fn a_run_that_is_killed_asks_for_nothing_twice_but_what_was_under_way() {
    let server =
        Scripted::start(|asked| Reply::Late(Duration::from_millis(20), Box::new(right(asked))));
    let folder = folder(60);
    let arguments = ["--at-once", "4"];
    let mut kills = 0;
    for goal in [10, 25, 40] {
        let mut child = translate(folder.path(), &server.url, &arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while server.asked().len() < goal + 4 * kills {
            assert!(began.elapsed() < PATIENCE, "units go on");
            sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    let (code, said) = run(&mut translate(folder.path(), &server.url, &arguments));
    assert_eq!(code, 0, "{said}");
    assert_all_parse(folder.path(), 60);
    let asked = server.asked().len();
    assert!(
        asked <= 60 + 4 * kills,
        "{asked} requests for 60 units and {kills} kills"
    );
}

#[cfg(unix)]
#[test]
fn a_run_that_is_told_to_end_closes_its_connections() {
    let server = Scripted::start(|asked| Reply::Late(PATIENCE, Box::new(right(asked))));
    let folder = folder(5);
    let child = translate(folder.path(), &server.url, &[])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while server.under_way() < 5 {
        assert!(began.elapsed() < PATIENCE, "all are asked for");
        sleep(Duration::from_millis(5));
    }
    let kill = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    while server.left() < 5 {
        assert!(began.elapsed() < PATIENCE, "{} of 5 left", server.left());
        sleep(Duration::from_millis(5));
    }
}

/// From end to end with our own server: the model that knows some translations by heart, behind `infill serve`. Its
/// answers here and there are the same, repairs included.
#[test]
fn our_own_server_is_such_a_server() {
    let pairs = tidy::root().join("tests/data/translate");
    let server = Server::start(&["--model", "pairs.gguf"]);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}", server.address);
    let translate = |out: &str, arguments: &[&str]| {
        let mut command = Command::new(harness::binary());
        command
            .args(["translate", "--from", "python", "--to", "javascript"])
            .args([
                "--jsonl",
                "pairs/python-javascript.jsonl",
                "--test",
                "node {file}",
            ])
            .arg("--out")
            .arg(folder.path().join(out))
            .args(arguments)
            .env_remove("INFILL_ENDPOINT_KEY")
            .current_dir(&pairs);
        let (code, said) = run(&mut command);
        assert!(code == 0 && said.contains("24 passed"), "{said}");
        let text = fs::read_to_string(folder.path().join(out).join("translations.jsonl")).unwrap();
        let line = |line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line.as_object_mut().unwrap().remove("seconds");
            line.to_string()
        };
        let mut lines: Vec<String> = text.lines().map(line).collect();
        lines.sort();
        lines
    };
    let here = translate("here", &["--model", "pairs.gguf"]);
    assert_eq!(translate("there", &["--endpoint", &url]), here);
}
