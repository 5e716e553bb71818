//! The path with the embedded model. What the model says is not judged here: where an answer
//! matters, it is put into the store first.

use grammars::Language;
use text::{Edit, fixture};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::*;
use crate::models::settings::Choice;

/// Long enough for a few steps of the model in a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A document with a cursor, marked with `‸`, before a freshly loaded model.
struct Scene {
    rooms: Arc<Rooms>,
    documents: Arc<Documents>,
    url: Url,
    offset: usize,
}

impl Scene {
    fn new(marked: &str) -> Scene {
        let (text, offset) = fixture::cursor(marked);
        let documents = Arc::new(Documents::default());
        let url = Url::parse("file:///scene.py").expect("it is a URL");
        let python = Language::named("python").expect("Python is in the table");
        documents.open(url.clone(), &text, 1, python);
        let rooms = Arc::new(
            Rooms::open(&Choice::default(), &|_| {}).expect("the embedded model is whole"),
        );
        Scene {
            rooms,
            documents,
            url,
            offset,
        }
    }

    fn ask(&self) -> Ask {
        let view = self.documents.view(&self.url).expect("it is open");
        Ask {
            url: self.url.clone(),
            view,
            offset: self.offset,
            class: Class::Invoked,
            hypothetical: false,
            single_line: false,
            delay: Duration::ZERO,
        }
    }

    async fn complete(&self) -> Outcome {
        complete(
            Arc::clone(&self.rooms),
            Arc::clone(&self.documents),
            self.ask(),
        )
        .await
    }

    /// As when a key was pressed there.
    async fn typing(&self) -> Outcome {
        let ask = Ask {
            class: Class::Keystroke,
            ..self.ask()
        };
        complete(Arc::clone(&self.rooms), Arc::clone(&self.documents), ask).await
    }

    /// Stores an answer for the place where the cursor is now.
    fn store(&self, answer: &str) {
        let trip = Trip::new(
            Arc::clone(&self.rooms),
            Arc::clone(&self.documents),
            self.ask(),
        );
        let situation = trip
            .situate()
            .expect("the cursor is at a place to complete");
        trip.with_context(&situation, |context| {
            self.rooms.store.insert(
                context,
                cache::Answer {
                    text: answer.to_owned(),
                    score: 1.0,
                },
            );
        });
    }

    /// Types at the cursor.
    fn typed(&mut self, text: &str) {
        let edit = Edit {
            range: self.offset..self.offset,
            text: text.to_owned(),
        };
        self.documents.change(&self.url, |document| {
            document.edit(&edit);
            document.set_version(document.version() + 1);
        });
        self.offset += text.len();
    }
}

fn ghost(outcome: &Outcome) -> Option<&str> {
    outcome
        .shown
        .as_ref()
        .ok()
        .map(|shown| shown.item.ghost.as_str())
}

const SCENE: &str = "def area(width, height):\n    return ‸\n\nprint(area(2, 3))\n";

#[tokio::test]
async fn a_question_asked_again_needs_no_model() {
    let scene = Scene::new(SCENE);
    let Outcome { record, shown, .. } = scene.complete().await;
    assert_eq!(
        (record.cache.as_str(), record.mask.is_some()),
        ("miss", true)
    );
    assert!(
        record.tokens_prefilled > 20 && record.tokens_decoded > 0,
        "{record:?}"
    );
    for row in [
        "situate", "look_up", "build", "queue", "prefill", "decode", "settle", "total",
    ] {
        assert!(
            record.timings_ms.contains_key(row),
            "{row} is missing in {record:?}"
        );
    }
    let again = scene.complete().await;
    assert_eq!(again.record.cache, "exact");
    assert_eq!(
        (again.record.tokens_prefilled, again.record.tokens_decoded),
        (0, 0)
    );
    assert_eq!(shown.is_ok(), again.shown.is_ok());
}

#[tokio::test]
async fn a_stored_answer_is_shown_and_can_be_typed_along() {
    let mut scene = Scene::new(SCENE);
    scene.store("width * height");
    let outcome = scene.complete().await;
    assert_eq!(
        ghost(&outcome),
        Some("width * height"),
        "{:?}",
        outcome.shown
    );
    scene.typed("width ");
    let outcome = scene.complete().await;
    assert_eq!(ghost(&outcome), Some("* height"), "{:?}", outcome.shown);
    assert_eq!(
        (outcome.record.cache.as_str(), outcome.record.tokens_decoded),
        ("adopted", 0)
    );
}

/// The answer is asked for again behind each of its characters, also inside words and tokens, with
/// nothing stored but what the engine keeps.
#[tokio::test]
async fn a_cursor_inside_what_was_said_gets_the_rest_without_a_step_of_the_model() {
    const TEXT: &str = "import os\n\n\nclass Store:\n    def __init__(self, path):\n        self.path = path\n        \
        self.values = {}\n\n    def load(self):\n        if not os.path.exists(self.path):\n            return None\n        \
        with open(self.path) as file:\n            for line in file:\n                self.values[line] = True\n        \
        return self.values\n";
    let mut asked = 0;
    let lines = TEXT.split_inclusive('\n').filter(|line| line.len() > 12);
    for (line, eighth) in lines.flat_map(|line| [2, 3, 5].map(move |eighth| (line, eighth))) {
        let start = TEXT.find(line).expect("it is a line of the text");
        let cut = start + line.len() * eighth / 8;
        let marked = format!("{}‸{}", &TEXT[..cut], &TEXT[start + line.len() - 1..]);
        let mut scene = Scene::new(&marked);
        // No answer is likelier than this, so that nothing is asked for beside the first.
        let rooms = Arc::get_mut(&mut scene.rooms).expect("nobody else has the rooms yet");
        rooms.model.threshold = Some(1.0);
        let first = scene.typing().await;
        let (Some(text), Err(Why::Unsure)) = (first.exchange.answer, first.shown) else {
            continue;
        };
        let line = text.lines().next().unwrap_or_default().to_owned();
        let last = line.char_indices().next_back().map_or(0, |(at, _)| at);
        for (at, c) in line[..last].char_indices() {
            scene.typed(&c.to_string());
            scene.rooms.store.clear();
            let outcome = scene.typing().await;
            let record = &outcome.record;
            if record.cache == "none" {
                continue;
            }
            // The model may have begun with a blank that the cursor stands behind already.
            if at == 0 && record.tokens_replayed == 0 {
                break;
            }
            assert_eq!(
                (record.cache.as_str(), record.tokens_decoded),
                ("miss", 0),
                "{marked:?} {text:?} {at} {record:?}"
            );
            assert!(
                record.tokens_replayed > 0 && record.tokens_prefilled == 0,
                "{record:?}"
            );
            asked += 1;
        }
    }
    assert!(asked > 10, "the model had hardly anything to say: {asked}");
}

#[tokio::test]
async fn an_answer_meets_the_text_as_it_is_when_it_comes() {
    let mut scene = Scene::new(SCENE);
    scene.store("width * height");
    let (rooms, documents) = (Arc::clone(&scene.rooms), Arc::clone(&scene.documents));
    let early = scene.ask();
    scene.typed("wid");
    let outcome = complete(Arc::clone(&rooms), Arc::clone(&documents), early).await;
    assert_eq!(ghost(&outcome), Some("th * height"), "{:?}", outcome.shown);

    scene.store("th * height");
    let early = scene.ask();
    scene.typed("get");
    let outcome = complete(rooms, documents, early).await;
    assert!(
        matches!(outcome.shown, Err(Why::Moved)),
        "{:?}",
        outcome.shown
    );
}

#[tokio::test]
async fn a_question_that_is_dropped_leaves_the_engine_idle() {
    // The engine may be done before anybody looks; then it is asked again.
    for _ in 0..100 {
        let scene = Scene::new(SCENE);
        let (rooms, documents) = (Arc::clone(&scene.rooms), Arc::clone(&scene.documents));
        let task = tokio::spawn(complete(rooms, documents, scene.ask()));
        while scene.rooms.engine.idle() && !task.is_finished() {
            yield_now().await;
        }
        task.abort();
        let idle = async {
            while !scene.rooms.engine.idle() {
                yield_now().await;
            }
        };
        timeout(PATIENCE, idle)
            .await
            .expect("the engine drops the job");
        if task.await.is_err_and(|error| error.is_cancelled()) {
            assert!(
                scene.rooms.store.is_empty(),
                "an answer that nobody wanted was stored"
            );
            return;
        }
    }
    panic!("the engine was never seen at work");
}

#[tokio::test]
async fn places_without_a_sensible_completion_run_nothing() {
    let huge = format!("‸{}", "x = 1\n".repeat(LARGEST_DOCUMENT / 6 + 1));
    let minified = format!("{}‸\n", "x=1;".repeat(LONGEST_LINE / 4 + 1));
    for marked in ["pri‸nt(1)\n", &huge, &minified] {
        let Outcome { shown, record, .. } = Scene::new(marked).complete().await;
        assert!(shown.is_err());
        assert_eq!(
            (record.cache.as_str(), record.tokens_prefilled),
            ("none", 0)
        );
    }
}

#[tokio::test]
async fn a_closed_document_gets_nothing() {
    let scene = Scene::new(SCENE);
    scene.store("width * height");
    let ask = scene.ask();
    scene.documents.close(&scene.url);
    let outcome = complete(scene.rooms, scene.documents, ask).await;
    assert!(matches!(outcome.shown, Err(Why::Moved)));
}

/// A model's threshold is for those who type; who asks by hand is shown everything.
#[tokio::test]
async fn below_its_threshold_a_model_is_silent_unless_it_is_asked() {
    // What it says here is longer than the letter that is typed of it below.
    let mut scene = Scene::new(
        "class Area:\n    def __init__(self, width, height):\n        self.width = width\n        \
         self.height = ‸\n\nprint(Area(2, 3).height)\n",
    );
    let rooms = Arc::get_mut(&mut scene.rooms).expect("nobody else has the rooms yet");
    rooms.model.threshold = Some(1.1);
    let asked = scene.complete().await;
    let score = asked.exchange.score.expect("the model was asked");
    assert!(score > 0.0 && score <= 1.0, "{score}");
    assert!(asked.shown.is_ok(), "{:?}", asked.shown);
    let silent = scene.typing().await;
    assert!(
        matches!(silent.shown, Err(Why::Unsure)),
        "{:?}",
        silent.shown
    );
    assert_eq!(silent.record.cache, "exact");
    assert_eq!(silent.exchange.score, Some(score));
    // Typed along, the model is asked anew: it may be sure by now.
    let text = ghost(&asked).expect("it was shown").to_owned();
    scene.typed(&text[..1]);
    let along = scene.typing().await;
    assert_eq!(along.record.cache, "miss");
    assert!(along.exchange.score.is_some_and(|now| now >= score * 0.99));

    let rooms = Arc::get_mut(&mut scene.rooms).expect("the questions are over");
    rooms.model.threshold = Some(0.0);
    let shown = scene.typing().await;
    assert!(shown.shown.is_ok(), "{:?}", shown.shown);
}

#[test]
fn the_score_is_that_of_the_first_line_behind_what_was_typed() {
    let vocab = vocab::fixture::vocab();
    let halvings = |text: &[&str], ends: bool, typed: usize| {
        let pieces: Vec<u32> = text.iter().flat_map(|text| vocab.encode(text)).collect();
        assert_eq!(pieces.len(), text.len(), "a token each: {text:?}");
        let count = pieces.len() + usize::from(ends);
        let answer = engine::Answer {
            ids: pieces,
            logprobs: vec![0.5f32.ln(); count],
            runners_up: vec![0.25f32.ln(); count],
            ..answered()
        };
        let (score, _) = first_line(&vocab, &answer, typed, &[], &[]);
        -score.log2().round()
    };
    assert_eq!(halvings(&["a", "b"], true, 0), 3.0, "the stop counts");
    assert_eq!(halvings(&["a", "b"], false, 0), 2.0);
    assert_eq!(
        halvings(&["a", "b", "c"], true, 2),
        2.0,
        "what was typed does not"
    );
    assert_eq!(
        halvings(&["a", "\n", "b"], true, 0),
        2.0,
        "the line's end does"
    );
    assert_eq!(
        halvings(&["\n", "a", "\n", "b"], true, 0),
        3.0,
        "empty lines are passed"
    );
    assert_eq!(halvings(&[], false, 0), 0.0);
}

#[test]
fn another_line_may_begin_at_every_token_of_the_first() {
    let vocab = vocab::fixture::vocab();
    let pieces = ["x", "a", "\n", "b"].map(|text| vocab.encode(text)[0]);
    let [x, a, newline, _] = pieces;
    let answer = engine::Answer {
        ids: pieces.to_vec(),
        logprobs: vec![0.5f32.ln(); 4],
        runners_up: [0.1f32, 0.25, 0.0, 0.5].map(f32::ln).to_vec(),
        ..answered()
    };
    let avoided = [vec![7]];
    let branches = |typed| first_line(&vocab, &answer, typed, &avoided, &[]).1;
    let bounds: Vec<f32> = branches(0).iter().map(|branch| branch.bound).collect();
    assert_eq!(bounds.len(), 2, "none where nothing else may come");
    assert!(
        (bounds[0] - 0.1).abs() < 1e-6 && (bounds[1] - 0.125).abs() < 1e-6,
        "{bounds:?}"
    );
    assert_eq!(branches(0)[1].avoid, [vec![7], vec![x, a]]);
    assert_eq!(branches(1).len(), 1, "what was typed is not in question");
    assert_eq!(branches(1)[0].avoid, [vec![7], vec![x, a]]);

    // Where the answer ends, it may go on; several tokens may have ended it.
    let ended = engine::Answer {
        ids: vec![x],
        logprobs: vec![-1.0; 2],
        runners_up: vec![f32::NEG_INFINITY, -0.5],
        ..answered()
    };
    let (_, branches) = first_line(&vocab, &ended, 0, &[], &[3, newline]);
    assert_eq!(branches.len(), 1);
    assert_eq!(branches[0].avoid, [vec![x, 3], vec![x, newline]]);
}

#[tokio::test]
async fn the_likeliest_of_the_answers_is_shown() {
    let texts = [
        "for i in range(10):\n    total ‸\nprint(total)\n",
        "import os\n\n\ndef read(path):\n    with open(‸\n",
        "class Point:\n    def __init__(self, x, y):\n        ‸\n",
        "def area(width, height):\n    return ‸\n\nprint(area(2, 3))\n",
        "values = [1, 2]\nif ‸\n    print(values)\n",
        "def main():\n    try:\n        run()\n    except ‸\n",
    ];
    let mut better = 0;
    let mut instead = 0;
    for text in texts {
        let scene = Scene::new(text);
        let trip = Trip::new(
            Arc::clone(&scene.rooms),
            Arc::clone(&scene.documents),
            scene.ask(),
        );
        let situation = trip.situate().expect("a place to complete");
        let standing = trip.stand(&situation).expect("a question");
        let first = trip.generate(&standing, situation.until, &[]).await;
        let first = first.expect("the model answers");
        let settled = trip.settle(&first.text, situation.until);
        let can_be_shown = settled.is_ok_and(|settled| trip.fit(settled, situation.until).is_ok());

        let Outcome {
            shown, exchange, ..
        } = scene.complete().await;
        let score = exchange.score.expect("the model was asked");
        match (can_be_shown, shown.is_ok()) {
            (true, true) => assert!(
                score >= first.score * 0.999,
                "{text}: {score} {}",
                first.score
            ),
            (true, false) => panic!("{text}: what could be shown was lost"),
            (false, shown) => instead += usize::from(shown),
        }
        better += usize::from(score > first.score);
    }
    assert!(better > 0, "no search found a likelier line");
    assert!(instead > 0, "no search found one that can be shown");
}

/// An answer without anything in it.
fn answered() -> engine::Answer {
    engine::Answer {
        ids: Vec::new(),
        ended: Ended::Stop,
        prefilled: 0,
        reused: 0,
        decoded: 0,
        replayed: 0,
        drafted: 0,
        accepted: 0,
        queued: Duration::ZERO,
        prefill: Duration::ZERO,
        decode: Duration::ZERO,
        logprobs: Vec::new(),
        runners_up: Vec::new(),
    }
}
