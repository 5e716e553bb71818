//! A device for tests that works until it is told to fail.
//!
//! Takes another device and hands everything on to it; a [`Switch`] decides after how many launches there is no more room
//! for anything, or the device is lost.

use crate::kernels::cuda::{Ask, Buffer, Device, DeviceError, Launch, Recording, View};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// What makes a device fail.
#[derive(Debug, Clone)]
pub struct Switch(Arc<State>);

#[derive(Debug)]
struct State {
    /// Launches that still succeed.
    launches: AtomicUsize,
    is_full: AtomicBool,
    /// Bytes that were ever asked for.
    asked: AtomicUsize,
    /// Uploads, and bytes that were downloaded.
    uploads: AtomicUsize,
    downloaded: AtomicUsize,
    recordings: AtomicUsize,
    replays: AtomicUsize,
    can_record: AtomicBool,
}

impl Switch {
    fn new() -> Switch {
        Switch(Arc::new(State {
            launches: AtomicUsize::new(usize::MAX),
            is_full: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
            uploads: AtomicUsize::new(0),
            downloaded: AtomicUsize::new(0),
            recordings: AtomicUsize::new(0),
            replays: AtomicUsize::new(0),
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

    fn alive(&self) -> Result<(), DeviceError> {
        match self.0.launches.load(Ordering::Relaxed) {
            0 => Err(DeviceError::Failed("it was unplugged".to_owned())),
            _ => Ok(()),
        }
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
            false => self.device.allocate(bytes),
        }
    }

    fn upload(&self, from: &[u8], to: View) -> Result<(), DeviceError> {
        self.switch.alive()?;
        self.switch.0.uploads.fetch_add(1, Ordering::Relaxed);
        self.device.upload(from, to)
    }

    fn download(&self, from: View, to: &mut [u8]) -> Result<(), DeviceError> {
        self.switch.alive()?;
        let downloaded = &self.switch.0.downloaded;
        downloaded.fetch_add(to.len(), Ordering::Relaxed);
        self.device.download(from, to)
    }

    fn copy(&self, from: View, to: View) -> Result<(), DeviceError> {
        self.switch.alive()?;
        self.device.copy(from, to)
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<(), DeviceError> {
        self.switch.alive()?;
        let left = &self.switch.0.launches;
        left.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: what holds for this launch holds for the device behind.
        unsafe { self.device.launch(launch) }
    }

    fn synchronize(&self) -> Result<(), DeviceError> {
        self.switch.alive()?;
        self.device.synchronize()
    }

    fn record(&self, ask: Ask) -> Option<Recording> {
        self.switch.alive().ok()?;
        if !self.switch.0.can_record.load(Ordering::Relaxed) {
            return None;
        }
        // What is recorded is not launched yet.
        let left = self.switch.0.launches.load(Ordering::Relaxed);
        let recording = self.device.record(ask);
        self.switch.0.launches.store(left, Ordering::Relaxed);
        let made = usize::from(recording.is_some());
        self.switch.0.recordings.fetch_add(made, Ordering::Relaxed);
        recording
    }

    unsafe fn replay(&self, recording: &Recording) -> Result<(), DeviceError> {
        self.switch.alive()?;
        self.switch.0.launches.fetch_sub(1, Ordering::Relaxed);
        self.switch.0.replays.fetch_add(1, Ordering::Relaxed);
        // SAFETY: what holds for this replay holds for the device behind.
        unsafe { self.device.replay(recording) }
    }
}
