//! A device for tests that works until it is told to fail.
//!
//! Takes another device and hands everything on to it; a [`Switch`] decides after how many launches there is no more room
//! for anything, or the device is lost, and counts what is done.

use crate::kernels::cuda::{Ask, Buffer, Device, DeviceError, Launch, Recording, View};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// What makes a device fail, and tells what it did.
#[derive(Clone)]
pub struct Switch(Arc<State>);

struct State {
    /// Launches that still succeed.
    launches: AtomicUsize,
    is_full: AtomicBool,
    /// Bytes that were ever asked for.
    asked: AtomicUsize,
    /// Bytes that are allocated.
    held: AtomicUsize,
    /// Launches so far.
    launched: AtomicUsize,
    /// Launches since the queue was last waited for, and the most that there ever were.
    queued: AtomicUsize,
    deepest: AtomicUsize,
    /// What is to be done once there were so many launches.
    then: Mutex<Option<Due>>,
    /// Uploads, and bytes that were downloaded.
    uploads: AtomicUsize,
    downloaded: AtomicUsize,
    recordings: AtomicUsize,
    replays: AtomicUsize,
    is_recording: AtomicBool,
    can_record: AtomicBool,
}

/// After how many launches something is to be done.
type Due = (usize, Box<dyn FnOnce() + Send>);

impl Switch {
    pub(crate) fn new() -> Switch {
        Switch(Arc::new(State {
            launches: AtomicUsize::new(usize::MAX),
            is_full: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            launched: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            deepest: AtomicUsize::new(0),
            then: Mutex::new(None),
            uploads: AtomicUsize::new(0),
            downloaded: AtomicUsize::new(0),
            recordings: AtomicUsize::new(0),
            replays: AtomicUsize::new(0),
            is_recording: AtomicBool::new(false),
            can_record: AtomicBool::new(true),
        }))
    }

    /// Uploads that were asked for, and bytes that were downloaded.
    pub fn moved(&self) -> [usize; 2] {
        [&self.0.uploads, &self.0.downloaded].map(|count| count.load(Ordering::Relaxed))
    }

    /// Recordings that were made, and how often one was replayed.
    pub fn recorded(&self) -> [usize; 2] {
        [&self.0.recordings, &self.0.replays].map(|count| count.load(Ordering::Relaxed))
    }

    /// Whether the device records from now on.
    pub fn records(&self, can_record: bool) {
        self.0.can_record.store(can_record, Ordering::Relaxed);
    }

    /// So many launches succeed from now on, a replay being one; then the device is lost.
    pub fn lose_after(&self, launches: usize) {
        self.0.launches.store(launches, Ordering::Relaxed);
    }

    /// Whether there is no room for anything from now on.
    pub fn fill(&self, is_full: bool) {
        self.0.is_full.store(is_full, Ordering::Relaxed);
    }

    /// Bytes that were ever asked for.
    pub fn asked(&self) -> usize {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// Bytes that are allocated now.
    pub fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// Launches so far, a replay being one.
    pub fn launched(&self) -> usize {
        self.0.launched.load(Ordering::Relaxed)
    }

    /// The most launches that were ever asked for without waiting for those before.
    pub fn deepest(&self) -> usize {
        self.0.deepest.load(Ordering::Relaxed)
    }

    /// Has something done, once, when there have been so many launches more.
    pub fn after(&self, launches: usize, act: impl FnOnce() + Send + 'static) {
        *self.then() = Some((self.launched() + launches, Box::new(act)));
    }

    fn then(&self) -> MutexGuard<'_, Option<Due>> {
        self.0.then.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a launch.
    pub(crate) fn count_launch(&self) {
        self.0.launches.fetch_sub(1, Ordering::Relaxed);
        let launched = self.0.launched.fetch_add(1, Ordering::Relaxed) + 1;
        let queued = self.0.queued.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.deepest.fetch_max(queued, Ordering::Relaxed);
        let due = self.then().take_if(|(when, _)| *when <= launched);
        if let Some((_, act)) = due {
            act();
        }
    }

    /// Whether the device is not lost.
    pub(crate) fn alive(&self) -> Result<(), DeviceError> {
        match self.0.launches.load(Ordering::Relaxed) {
            0 => Err(DeviceError::Failed("it was unplugged".to_owned())),
            _ => Ok(()),
        }
    }
}

/// An allocation that is counted as long as it is there.
struct Counted {
    switch: Switch,
    inner: Buffer,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let held = &self.switch.0.held;
        held.fetch_sub(self.inner.bytes(), Ordering::Relaxed);
    }
}

/// A device with a switch.
pub(crate) struct Faulty<D> {
    device: D,
    switch: Switch,
}

impl<D> Faulty<D> {
    pub(crate) fn new(device: D) -> Faulty<D> {
        Faulty {
            device,
            switch: Switch::new(),
        }
    }

    pub(crate) fn switch(&self) -> Switch {
        self.switch.clone()
    }
}

impl<D: Device> Device for Faulty<D> {
    fn allocate(&self, bytes: usize) -> Result<Buffer, DeviceError> {
        self.switch.alive()?;
        self.switch.0.asked.fetch_add(bytes, Ordering::Relaxed);
        match self.switch.0.is_full.load(Ordering::Relaxed) {
            true => Err(DeviceError::OutOfMemory { bytes }),
            false => {
                let inner = self.device.allocate(bytes)?;
                self.switch.0.held.fetch_add(bytes, Ordering::Relaxed);
                let address = inner.view().address();
                let switch = self.switch.clone();
                Ok(Buffer::new(
                    address,
                    bytes,
                    Box::new(Counted { switch, inner }),
                ))
            }
        }
    }

    fn upload(&self, from: &[u8], to: View) -> Result<(), DeviceError> {
        self.switch.alive()?;
        self.switch.0.uploads.fetch_add(1, Ordering::Relaxed);
        self.device.upload(from, to)
    }

    fn download(&self, from: View, to: &mut [u8]) -> Result<(), DeviceError> {
        self.switch.alive()?;
        let state = &self.switch.0;
        state.queued.store(0, Ordering::Relaxed);
        state.downloaded.fetch_add(to.len(), Ordering::Relaxed);
        self.device.download(from, to)
    }

    fn copy(&self, from: View, to: View) -> Result<(), DeviceError> {
        self.switch.alive()?;
        self.device.copy(from, to)
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<(), DeviceError> {
        self.switch.alive()?;
        // What is recorded is not launched yet.
        if !self.switch.0.is_recording.load(Ordering::Relaxed) {
            self.switch.count_launch();
        }
        // SAFETY: what holds for this launch holds for the device behind.
        unsafe { self.device.launch(launch) }
    }

    fn synchronize(&self) -> Result<(), DeviceError> {
        self.switch.alive()?;
        self.switch.0.queued.store(0, Ordering::Relaxed);
        self.device.synchronize()
    }

    fn record(&self, ask: Ask) -> Option<Recording> {
        self.switch.alive().ok()?;
        if !self.switch.0.can_record.load(Ordering::Relaxed) {
            return None;
        }
        let is_recording = &self.switch.0.is_recording;
        is_recording.store(true, Ordering::Relaxed);
        let recording = self.device.record(ask);
        is_recording.store(false, Ordering::Relaxed);
        let made = usize::from(recording.is_some());
        self.switch.0.recordings.fetch_add(made, Ordering::Relaxed);
        recording
    }

    unsafe fn replay(&self, recording: &Recording) -> Result<(), DeviceError> {
        self.switch.alive()?;
        self.switch.count_launch();
        self.switch.0.replays.fetch_add(1, Ordering::Relaxed);
        // SAFETY: what holds for this replay holds for the device behind.
        unsafe { self.device.replay(recording) }
    }
}
