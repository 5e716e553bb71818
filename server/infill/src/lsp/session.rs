//! What one connection to a client holds: the documents, the requests under way, what was agreed
//! on, and the model in its three states.
//!
//! Shared by [`front`](super::front), which must never wait, and
//! [`server`](super::server)'s handlers, which may.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use dashmap::DashMap;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tower_lsp::jsonrpc::{Error, ErrorCode};
use tower_lsp::lsp_types::Url;

use crate::complete::Why;
use crate::documents::Documents;
use crate::lsp::admission::Admission;
use crate::lsp::capabilities::Agreed;
use crate::lsp::pending::Pending;
use crate::lsp::request::why::Told;
use crate::lsp::settings::Settings;
use crate::lsp::typing::Typing;
use crate::lsp::usage::Usage;
use crate::models::settings::Choice;
use crate::priority;
use crate::rooms::Rooms;

/// How long a completion waits for a model that is still being loaded before it answers with
/// nothing. Loading the embedded model takes well under a second.
const MODEL_WAIT: Duration = Duration::from_secs(5);

/// The error code for a request before `initialize`, as the protocol has it.
const SERVER_NOT_INITIALIZED: i64 = -32002;

/// One connection to a client.
pub struct Session {
    /// What the client holds open.
    pub documents: Arc<Documents>,
    /// The completions under way.
    pub pending: Pending,
    /// What the user of each document is doing.
    pub typing: Typing,
    /// Which documents are completed.
    pub admission: Admission,
    /// What became of what was shown.
    pub usage: Usage,
    /// The last question of each document, and what came of it.
    pub told: DashMap<Url, Told>,
    /// What the command line says; it stands before what files say.
    flags: Choice,
    /// What the client set; it stands before everything else.
    settings: Mutex<Arc<Settings>>,
    /// The choice that the model at hand was opened by. Held while a model is loaded, so that one loads at a time.
    loaded: Mutex<Option<Choice>>,
    /// How many loads are under way or wait for one that is.
    loads: AtomicUsize,
    /// Hundredths of a model that are loaded, while one is.
    percent: AtomicU32,
    /// Why the last load failed, if it did.
    trouble: Mutex<Option<String>>,
    /// The document that the user looks at, as far as one can tell.
    focus: Mutex<Option<Url>>,
    /// Something that a status shows may have changed.
    news: Arc<Notify>,
    folder: OnceLock<PathBuf>,
    model: Arc<watch::Sender<Model>>,
    agreed: OnceLock<Agreed>,
    shut_down: AtomicBool,
    ended: Notify,
}

/// The model, as far as it has come.
#[derive(Clone)]
pub enum Model {
    /// Not there yet.
    Loading,
    /// Ready to answer.
    Ready(Arc<Rooms>),
    /// It will not come, and why.
    Failed(String),
}

/// A load that is under way, for as long as this lives.
pub struct LoadUnderWay(Arc<Session>);

impl Drop for LoadUnderWay {
    fn drop(&mut self) {
        self.0.loads.fetch_sub(1, Ordering::AcqRel);
        self.0.touch();
    }
}

impl Session {
    /// A session whose model will be the one of this choice, or what `infill.toml` says where it says nothing, once
    /// [`Session::load`] is called.
    pub fn new(flags: Choice) -> Session {
        Session {
            documents: Arc::default(),
            pending: Pending::default(),
            typing: Typing::default(),
            admission: Admission::default(),
            usage: Usage::default(),
            told: DashMap::new(),
            flags,
            settings: Mutex::default(),
            loaded: Mutex::default(),
            loads: AtomicUsize::new(0),
            percent: AtomicU32::new(0),
            trouble: Mutex::default(),
            focus: Mutex::default(),
            news: Arc::default(),
            folder: OnceLock::new(),
            model: Arc::new(watch::Sender::new(Model::Loading)),
            agreed: OnceLock::new(),
            shut_down: AtomicBool::new(false),
            ended: Notify::new(),
        }
    }

    /// Loads the model that is chosen now, on the calling thread, which must be one that may be busy. Until it is there
    /// the one before it answers; if it cannot be loaded, that one stays. None if the model at hand is the chosen one.
    ///
    /// # Errors
    /// Why the chosen model cannot be loaded.
    pub fn load(&self) -> Result<Option<Arc<Rooms>>, String> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        // Read with the lock held: of two switches, the one that loads last sees the newest choice.
        let choice = self.choice();
        if choice.is_ok() && choice.as_ref().ok() == loaded.as_ref() {
            return Ok(None);
        }
        let opened = choice.and_then(|choice| match self.open(&choice) {
            Ok(Ok(rooms)) => Ok((choice, Arc::new(rooms))),
            Ok(Err(error)) => Err(format!("{error:#}")),
            Err(_) => Err("loading the model failed; run with `--log error`".to_owned()),
        });
        match opened {
            Ok((choice, rooms)) => {
                *loaded = Some(choice);
                self.serve_from(&rooms);
                self.set_trouble(None);
                Ok(Some(rooms))
            }
            Err(message) => {
                self.model.send_if_modified(|model| {
                    let first = !matches!(model, Model::Ready(_));
                    if first {
                        *model = Model::Failed(message.clone());
                    }
                    first
                });
                self.set_trouble(Some(message.clone()));
                Err(message)
            }
        }
    }

    /// Answers from these rooms from now on, and from those that take their place if their model is lost.
    fn serve_from(&self, rooms: &Arc<Rooms>) {
        let (model, news) = (Arc::downgrade(&self.model), Arc::downgrade(&self.news));
        rooms.succeeded_by(move |successor| {
            let (Some(model), Some(news)) = (model.upgrade(), news.upgrade()) else {
                return;
            };
            model.send_if_modified(|model| {
                // Another one may have been chosen meanwhile.
                let is_lost = matches!(model, Model::Ready(rooms) if rooms.engine.is_lost());
                if is_lost {
                    *model = Model::Ready(Arc::new(successor));
                }
                is_lost
            });
            news.notify_one();
        });
        self.model.send_replace(Model::Ready(Arc::clone(rooms)));
    }

    /// Notes that a load is about to begin. [`Session::switching`] holds until the guard is dropped.
    pub fn begin_load(self: &Arc<Self>) -> LoadUnderWay {
        self.loads.fetch_add(1, Ordering::AcqRel);
        LoadUnderWay(Arc::clone(self))
    }

    /// Whether a model is being loaded, or waits to be.
    pub fn switching(&self) -> bool {
        self.loads.load(Ordering::Acquire) > 0
    }

    /// Opens a model from a thread of its own, whose priority the threads of the model inherit.
    fn open(&self, choice: &Choice) -> thread::Result<anyhow::Result<Rooms>> {
        self.percent.store(0, Ordering::Release);
        let progress = |part: f32| {
            self.percent.store((part * 100.0) as u32, Ordering::Release);
            self.touch();
        };
        let open = || {
            priority::give_way();
            Rooms::open(choice, &progress)
        };
        thread::scope(|scope| scope.spawn(open).join())
    }

    /// Hundredths of the model that are loaded; none if no model is being loaded.
    pub fn percent(&self) -> Option<u32> {
        let is_loading = self.switching() || matches!(self.model(), Model::Loading);
        is_loading.then(|| self.percent.load(Ordering::Acquire))
    }

    /// What the client set.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&lock(&self.settings))
    }

    /// Changes what the client set, and judges the open documents by it. Whether another model is chosen now is for
    /// [`Session::load`] to see.
    pub fn set<T>(&self, change: impl FnOnce(&mut Settings) -> T) -> T {
        let mut held = lock(&self.settings);
        let mut settings = Settings::clone(&held);
        let result = change(&mut settings);
        let settings = Arc::new(settings);
        *held = Arc::clone(&settings);
        drop(held);
        self.admission.judge_again(&settings);
        self.documents
            .lend_all(|url| settings.neighbours && self.admission.admits(url));
        self.touch();
        result
    }

    /// Why the last load failed, or why the model that is loaded does not run where it was wanted.
    pub fn trouble(&self) -> Option<String> {
        let failed = lock(&self.trouble).clone();
        failed.or_else(|| match self.model() {
            Model::Ready(rooms) => rooms.trouble(),
            Model::Loading | Model::Failed(_) => None,
        })
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *lock(&self.trouble) = trouble;
        self.touch();
    }

    /// The document that the user looks at, as far as one can tell.
    pub fn focus(&self) -> Option<Url> {
        lock(&self.focus).clone()
    }

    /// The user looks at this document.
    pub fn set_focus(&self, url: &Url) {
        let mut focus = lock(&self.focus);
        if focus.as_ref() != Some(url) {
            *focus = Some(url.clone());
            self.touch();
        }
    }

    /// Notes that something that a status shows may have changed.
    pub fn touch(&self) {
        self.news.notify_one();
    }

    /// Waits until something that a status shows may have changed. For one listener.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// The documents of which the model reads excerpts beside this one, as they were chosen last.
    pub fn neighbours(&self, url: &Url) -> Vec<Url> {
        let view = self.documents.view(url);
        let (Model::Ready(rooms), Some(view)) = (self.model(), view) else {
            return Vec::new();
        };
        let beside = rooms.anchors.beside(view.number);
        let mut files = beside.map_or_else(Vec::new, |beside| beside.files.clone());
        files.retain(|file| self.documents.is_lent(file));
        files
    }

    /// Forgets a document that was closed.
    pub fn close(&self, url: &Url) {
        self.pending.supersede(url);
        self.typing.close(url);
        self.admission.close(url);
        self.told.remove(url);
        lock(&self.focus).take_if(|focus| focus == url);
        let view = self.documents.view(url);
        self.usage
            .close(url, view.as_ref().map(|view| &view.snapshot));
        let number = view.map(|view| view.number);
        self.documents.close(url);
        if let (Model::Ready(rooms), Some(number)) = (self.model(), number) {
            rooms.anchors.close(number);
        }
    }

    /// Takes down the folder that `infill.toml` is looked up from; the first one counts.
    pub fn settle_in(&self, folder: &Path) {
        let _ = self.folder.set(folder.to_owned());
    }

    fn choice(&self) -> Result<Choice, String> {
        let settings = self.settings();
        let found = match self.folder.get() {
            Some(folder) if settings.trusted => Choice::found_from(folder),
            Some(_) => Choice::of_user(),
            None => Ok(Choice::default()),
        };
        let found = found.map_err(|error| format!("{error:#}"))?;
        let chosen = settings.choice.clone();
        Ok(chosen.or(self.flags.clone()).or(found))
    }

    /// The model, as far as it has come.
    pub fn model(&self) -> Model {
        self.model.borrow().clone()
    }

    /// The rooms of the loaded model, waiting for it a little if need be.
    ///
    /// # Errors
    /// [`Why::NotReady`] if the model is not there in time or will never be.
    pub async fn rooms(&self) -> Result<Arc<Rooms>, Why> {
        let mut model = self.model.subscribe();
        let come = model.wait_for(|model| !matches!(model, Model::Loading));
        match tokio::time::timeout(MODEL_WAIT, come).await {
            Ok(Ok(model)) => match &*model {
                Model::Ready(rooms) => Ok(Arc::clone(rooms)),
                Model::Loading | Model::Failed(_) => Err(Why::NotReady),
            },
            Ok(Err(_)) | Err(_) => Err(Why::NotReady),
        }
    }

    /// Takes down what `initialize` agrees on; the first one counts.
    pub fn agree(&self, params: &Value) -> Agreed {
        self.agreed
            .get_or_init(|| Agreed::from_params(params))
            .clone()
    }

    /// What was agreed on, or the protocol's defaults before that.
    pub fn agreed(&self) -> Agreed {
        self.agreed.get().cloned().unwrap_or_default()
    }

    /// The error for a request that comes before `initialize` or after `shutdown`.
    pub fn refusal(&self) -> Option<Error> {
        if self.was_shut_down() {
            Some(Error::invalid_request())
        } else if self.agreed.get().is_none() {
            let mut error = Error::new(ErrorCode::ServerError(SERVER_NOT_INITIALIZED));
            error.message = "the server is not initialized".into();
            Some(error)
        } else {
            None
        }
    }

    /// Notes that the client asked the server to shut down.
    pub fn shut_down(&self) {
        self.shut_down.store(true, Ordering::Release);
    }

    /// Whether the client asked the server to shut down: then its end is an orderly one.
    pub fn was_shut_down(&self) -> bool {
        self.shut_down.load(Ordering::Acquire)
    }

    /// Ends the session: the client said `exit`, or is gone.
    pub fn end(&self) {
        self.ended.notify_one();
    }

    /// Waits for [`Session::end`].
    pub async fn ended(&self) {
        self.ended.notified().await;
    }
}

/// What these locks hold is whole between any two statements, so a panic elsewhere has not broken it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::lsp::request::status::status;
    use crate::models::settings::Device;

    /// The built-in model under another name, in a file.
    fn other_model(name: &str) -> String {
        let folder = std::env::temp_dir().join(format!("infill-switching-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut bytes = crate::embedded::MODEL.to_vec();
        let place = bytes
            .windows(9)
            .position(|part| part == b"infill-v2")
            .unwrap();
        bytes[place..place + 9].copy_from_slice(name.as_bytes());
        let path = folder.join(format!("{name}.gguf"));
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    fn choice(model: &str) -> Choice {
        Choice {
            model: Some(model.to_owned()),
            ..Choice::default()
        }
    }

    #[test]
    fn the_old_model_answers_until_the_newest_choice_is_loaded() {
        let session = Arc::new(Session::new(Choice::default()));
        session.load().unwrap();
        let name = |session: &Session| status(session, None).model;
        assert_eq!(name(&session).as_deref(), Some("infill-v2"));
        // Held, as while a model loads: both switches wait here.
        let held = session.loaded.lock().unwrap();
        let switches: Vec<_> = ["second-v1", "third--v1"]
            .map(|name| {
                session.set(|settings| settings.choice = choice(&other_model(name)));
                let under_way = session.begin_load();
                let session = Arc::clone(&session);
                thread::spawn(move || {
                    let loaded = session.load();
                    drop(under_way);
                    loaded.map(|rooms| rooms.map(|rooms| rooms.model.name.clone()))
                })
            })
            .into();
        assert!(status(&session, None).switching);
        assert_eq!(name(&session).as_deref(), Some("infill-v2"));
        drop(held);
        let loaded: Vec<_> = switches
            .into_iter()
            .map(|one| one.join().unwrap())
            .collect();
        // Whichever came first loaded the newest; the other found it loaded.
        assert!(loaded.contains(&Ok(Some("third--v1".to_owned()))));
        assert!(loaded.contains(&Ok(None)));
        assert_eq!(name(&session).as_deref(), Some("third--v1"));
        assert!(!status(&session, None).switching);

        session.set(|settings| settings.choice = choice("./nowhere.gguf"));
        let why = session.load().err().unwrap();
        assert!(why.contains("nowhere.gguf"), "{why}");
        assert_eq!(name(&session).as_deref(), Some("third--v1"));
    }

    #[test]
    fn a_device_that_cannot_be_had_is_told_of_and_the_model_is_ready() {
        let session = Session::new(Choice {
            device: Some(Device::Cuda(vec![10_000])),
            ..Choice::default()
        });
        session.load().unwrap();
        let status = status(&session, None);
        assert_eq!(
            (status.state, status.device.as_deref()),
            ("ready", Some("cpu"))
        );
        let message = status.message.unwrap();
        assert!(message.contains("cuda:10000"), "{message}");
    }

    #[test]
    fn the_built_in_model_goes_on_where_another_is_lost() {
        let path = other_model("placed-v1");
        let (device, switch) = glm::fixture::gpu(1 << 30);
        let session = Arc::new(Session::new(choice(&path)));
        let rooms = Arc::new(Rooms::on(&device, &choice(&path)).unwrap());
        session.serve_from(&rooms);
        let now = || status(&session, None);
        assert_eq!(now().model.as_deref(), Some("placed-v1"));
        assert_eq!(now().device.as_deref(), Some("cuda:0 (emulated)"));

        // Neither the device nor the file is there any more.
        switch.lose_after(0);
        fs::remove_file(&path).unwrap();
        let ended = |rooms: &Arc<Rooms>| rooms.ends_of(&[1, 2, 3]);
        assert!(matches!(ended(&rooms), engine::Ended::Failed(_)));
        let status = now();
        assert_eq!(
            (status.model.as_deref(), status.device.as_deref()),
            (Some("infill-v2"), Some("cpu"))
        );
        let message = status.message.unwrap();
        assert!(
            message.contains("it was unplugged") && message.contains("placed-v1.gguf"),
            "{message}"
        );
        assert!(
            message.ends_with("the model that is built in answers now"),
            "{message}"
        );
        let Model::Ready(successor) = session.model() else {
            panic!("there is no model");
        };
        assert_eq!(ended(&successor), engine::Ended::Length);
        // Who is slow to hear of it is told, and no third model comes.
        assert!(matches!(ended(&rooms), engine::Ended::Failed(_)));
        assert_eq!(now().model.as_deref(), Some("infill-v2"));
    }

    #[test]
    fn a_model_that_is_lost_after_another_was_chosen_changes_nothing() {
        let path = other_model("former-v1");
        let (device, switch) = glm::fixture::gpu(1 << 30);
        let session = Session::new(choice(&path));
        let former = Arc::new(Rooms::on(&device, &choice(&path)).unwrap());
        session.serve_from(&former);
        session.set(|settings| settings.choice = choice(&other_model("latter-v1")));
        session.load().unwrap();
        switch.lose_after(0);
        fs::remove_file(&path).unwrap();
        let ended = former.ends_of(&[1, 2, 3]);
        assert!(matches!(ended, engine::Ended::Failed(_)));
        let status = status(&session, None);
        assert_eq!(status.model.as_deref(), Some("latter-v1"));
        assert_eq!(status.message, None);
    }

    #[test]
    fn a_workspace_that_is_not_trusted_does_not_choose_the_model() {
        let folder = std::env::temp_dir().join(format!("infill-trust-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("infill.toml"), "model = \"theirs\"\n").unwrap();
        let session = Session::new(Choice::default());
        session.settle_in(&folder);
        let model = || session.choice().unwrap().model;
        assert_eq!(model().as_deref(), Some("theirs"));
        session.set(|settings| settings.trusted = false);
        assert_eq!(model(), Choice::of_user().unwrap().model);
        fs::remove_dir_all(&folder).unwrap();
    }
}
