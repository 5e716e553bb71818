//! What several devices have computed, added up on each of them.
//!
//! Takes a buffer of each device, gives all of them the sum, in the order of each device's queue. `nccl.rs` is the one
//! implementation; the other, for tests, goes through the processor's memory and so works with any devices.

use super::device::{DeviceError, View};

/// What went wrong, and on which of the devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Its place among them.
    pub rank: usize,
    /// What it said.
    pub error: DeviceError,
}

/// Adds over devices, whose order is always the same.
pub trait AllReduce: Send + Sync {
    /// Asks all devices to put the sum of all parts, f32 numbers, in the place of each. As with a launch, nobody waits for
    /// it.
    ///
    /// # Panics
    /// If there is not a part a device, each of as many bytes.
    fn add_up(&self, parts: &[View]) -> Result<(), Failed>;

    /// Waits until all that was asked of the devices is done. One that fails is an error of its own, also if others wait
    /// for it in a sum.
    fn wait(&self) -> Result<(), Failed>;

    /// Lets devices go that wait in a sum for one that failed; there need be no sums any more.
    fn abandon(&self);
}

#[cfg(any(test, feature = "fixture"))]
pub(crate) use through_memory::ThroughMemory;

#[cfg(any(test, feature = "fixture"))]
mod through_memory {
    use super::{AllReduce, Failed};
    use crate::kernels::cuda::device::{Device, DeviceError, View, bytes_of, bytes_of_mut};
    use std::sync::Arc;

    /// Devices whose parts are brought to the processor, which waits for each queue, and back.
    pub(crate) struct ThroughMemory(Vec<Arc<dyn Device + Send + Sync>>);

    impl ThroughMemory {
        pub(crate) fn new(devices: Vec<Arc<dyn Device + Send + Sync>>) -> ThroughMemory {
            ThroughMemory(devices)
        }

        fn each(
            &self,
            mut ask: impl FnMut(usize, &dyn Device) -> Result<(), DeviceError>,
        ) -> Result<(), Failed> {
            let mut devices = self.0.iter().enumerate();
            devices.try_for_each(|(rank, device)| {
                ask(rank, &**device).map_err(|error| Failed { rank, error })
            })
        }
    }

    impl AllReduce for ThroughMemory {
        fn add_up(&self, parts: &[View]) -> Result<(), Failed> {
            assert_eq!(parts.len(), self.0.len(), "a part a device");
            let count = parts[0].bytes() / size_of::<f32>();
            let (mut sum, mut part) = (vec![0.0f32; count], vec![0.0f32; count]);
            self.each(|rank, device| {
                device.download(parts[rank], bytes_of_mut(&mut part))?;
                sum.iter_mut().zip(&part).for_each(|(sum, x)| *sum += x);
                Ok(())
            })?;
            self.each(|rank, device| device.upload(bytes_of(&sum), parts[rank]))
        }

        fn wait(&self) -> Result<(), Failed> {
            self.each(|_, device| device.synchronize())
        }

        /// None waits for another: the processor has waited for each.
        fn abandon(&self) {}
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::kernels::cuda::{
            emulated::Emulated,
            testing::{download, upload},
        };

        #[test]
        fn each_device_gets_the_sum_of_what_was_asked_for_before() {
            let devices = [Emulated::new(), Emulated::new(), Emulated::new()];
            let shared = devices.clone().map(|device| Arc::new(device) as _);
            let all = ThroughMemory::new(shared.to_vec());
            let parts = [0.5f32, 8.0, 64.0].map(|x| [x, -x, 2.0 * x]);
            let there: Vec<_> = devices
                .iter()
                .zip(&parts)
                .map(|(device, part)| (upload(device, &[0.0f32; 3]), upload(device, part)))
                .collect();
            for (device, (to, from)) in devices.iter().zip(&there) {
                device.copy(from.view(), to.view()).unwrap();
            }
            let views: Vec<View> = there.iter().map(|(to, _)| to.view()).collect();
            all.add_up(&views).unwrap();
            all.wait().unwrap();
            for (device, (to, from)) in devices.iter().zip(&there) {
                assert_eq!(download::<f32>(device, to), [72.5, -72.5, 145.0]);
                assert_ne!(download::<f32>(device, from), [72.5, -72.5, 145.0]);
            }
        }
    }
}
