//! What questions show of other documents, and for how long. The embedded model is asked as one that was trained on such.

use std::time::Duration;

use grammars::Language;
use prompt::Template;
use text::{Edit, fixture};

use super::super::{Outcome, complete, prepare};
use super::*;
use crate::documents::Documents;
use crate::models::settings::Choice;
use crate::rooms::Rooms;

const HERE: &str =
    "from keeper import feed\n\ndef evening(animals, hour):\n    feed(‸\n    return hour\n";
const KEEPER: &str =
    "def feed(animals, hour):\n    return [animal.eats(hour) for animal in animals]\n";
const COOK: &str =
    "def cook(animals, hour):\n    return sum(animal.wants(hour) for animal in animals)\n";

/// The place where [`HERE`] has its cursor, with other documents open.
struct Scene {
    rooms: Arc<Rooms>,
    documents: Arc<Documents>,
    offset: usize,
}

fn url(name: &str) -> Url {
    Url::parse(&format!("file:///zoo/{name}.py")).unwrap()
}

impl Scene {
    fn new(template: Template) -> Scene {
        let mut rooms = Rooms::open(&Choice::default(), &|_| {}).unwrap();
        rooms.template = template;
        let (text, offset) = fixture::cursor(HERE);
        let scene = Scene {
            rooms: Arc::new(rooms),
            documents: Arc::default(),
            offset,
        };
        scene.open("pen", &text);
        scene
    }

    fn open(&self, name: &str, text: &str) {
        let python = Language::named("python").unwrap();
        self.documents.open(url(name), text, 1, python);
        self.documents.lend(&url(name), true);
    }

    fn insert(&self, name: &str, at: usize, text: &str) {
        let edit = Edit {
            range: at..at,
            text: text.to_owned(),
        };
        self.documents.change(&url(name), |document| {
            document.edit(&edit);
        });
    }

    fn ask(&self, class: Class) -> Ask {
        Ask {
            url: url("pen"),
            view: self.documents.view(&url("pen")).unwrap(),
            offset: self.offset,
            class,
            hypothetical: false,
            single_line: false,
            delay: Duration::ZERO,
        }
    }

    async fn complete(&self, class: Class) -> Outcome {
        let (rooms, documents) = (Arc::clone(&self.rooms), Arc::clone(&self.documents));
        complete(rooms, documents, self.ask(class)).await
    }

    /// As when the user rests.
    async fn rest(&self) {
        let (rooms, documents) = (Arc::clone(&self.rooms), Arc::clone(&self.documents));
        prepare(rooms, documents, self.ask(Class::Ahead)).await;
    }

    /// What the model reads for somebody who types here, and whether an answer was stored.
    async fn read(&self) -> (String, String) {
        let outcome = self.complete(Class::Keystroke).await;
        let prompt = outcome.exchange.prompt.unwrap_or_default();
        (self.rooms.vocab.decode(&prompt), outcome.record.cache)
    }

    fn chosen(&self) -> Vec<Url> {
        let number = self.documents.view(&url("pen")).unwrap().number;
        let beside = self.rooms.anchors.beside(number);
        beside.map_or_else(Vec::new, |beside| beside.files.clone())
    }
}

#[tokio::test]
async fn excerpts_of_lent_documents_stand_before_the_text() {
    let scene = Scene::new(Template::InfillV2);
    scene.open("keeper", KEEPER);
    scene.open("secret", COOK);
    scene.documents.lend(&url("secret"), false);
    scene.rest().await;
    assert_eq!(scene.chosen(), [url("keeper")]);
    let (prompt, _) = scene.read().await;
    let excerpt = format!("# zoo/keeper.py\n{KEEPER}\n");
    assert!(
        prompt.contains(&format!("{excerpt}from keeper import feed\n")),
        "{prompt}"
    );
    assert!(!prompt.contains("cook"), "{prompt}");

    let first = Scene::new(Template::InfillV1);
    first.open("keeper", KEEPER);
    first.rest().await;
    let (prompt, _) = first.read().await;
    assert!(
        prompt.contains("def evening") && !prompt.contains("def feed"),
        "{prompt}"
    );
}

#[tokio::test]
async fn excerpts_stay_while_the_user_types_and_are_chosen_anew_at_rest() {
    let mut scene = Scene::new(Template::InfillV2);
    scene.open("keeper", KEEPER);
    scene.rest().await;
    let (before, _) = scene.read().await;
    scene.insert(
        "keeper",
        KEEPER.len(),
        "\n\ndef feed_all(animals, hour):\n    return feed(animals, hour)\n",
    );
    // Nothing that would be suggested, which would be answered from memory.
    scene.insert("pen", scene.offset, "flock");
    scene.offset += "flock".len();
    let (typing, _) = scene.read().await;
    let question = before.split_once("return hour").unwrap().0;
    assert!(typing.starts_with(question), "{typing}");
    let record = scene.complete(Class::Keystroke).await.record;
    assert_eq!(record.cache, "exact");
    scene.rest().await;
    let (rested, cache) = scene.read().await;
    assert_eq!(
        cache, "miss",
        "what was answered beside other excerpts is not the answer"
    );
    assert!(rested.contains("def feed_all"), "{rested}");
    // Nothing has changed since.
    scene.rest().await;
    assert_eq!(scene.complete(Class::Keystroke).await.record.cache, "exact");
}

#[tokio::test]
async fn what_is_lent_no_longer_is_not_shown_again() {
    let scene = Scene::new(Template::InfillV2);
    scene.open("keeper", KEEPER);
    scene.open("cook", COOK);
    scene.rest().await;
    assert_eq!(scene.chosen(), [url("cook"), url("keeper")]);
    let (prompt, _) = scene.read().await;
    assert!(
        prompt.contains("def cook") && prompt.contains("def feed"),
        "{prompt}"
    );
    // Somebody who types goes on with what was chosen, unless it may not be shown any more.
    scene.documents.lend(&url("cook"), false);
    let (prompt, cache) = scene.read().await;
    assert_eq!(cache, "miss");
    assert!(
        prompt.contains("def feed") && !prompt.contains("def cook"),
        "{prompt}"
    );
    scene.documents.close(&url("keeper"));
    let (prompt, cache) = scene.read().await;
    assert_eq!(cache, "miss");
    assert!(
        prompt.contains("def evening") && !prompt.contains("def feed"),
        "{prompt}"
    );
    assert!(scene.chosen().is_empty());
}
