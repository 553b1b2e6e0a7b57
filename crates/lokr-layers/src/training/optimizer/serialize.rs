//! Optimizers, read and written by `serde`: their settings and groups, checked when they are read. What one remembers
//! of past gradients belongs to a network, and is in the state that [`Optimizer::save_state`](super::Optimizer) gives.

use lokr_core::Scalar;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::adam::{Adam, AdamW};
use super::groups::Groups;
use super::moments::{AdamSettings, Moments};
use super::sgd::{Sgd, SgdSettings};
use super::soap::{Soap, SoapSettings};
use crate::error::Result;

/// An optimizer without its memory.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Optimizer", deny_unknown_fields)]
struct Record<S> {
    settings: S,
    #[serde(default)]
    groups: Groups,
}

macro_rules! optimizer {
    ($optimizer:ident, $settings:ident, $self:ident => $held:expr, ($read:ident, $groups:ident) => $made:expr) => {
        /// Settings and groups.
        impl<T: Scalar> Serialize for $optimizer<T> {
            fn serialize<S: Serializer>(&$self, serializer: S) -> Result<S::Ok, S::Error> {
                Record { settings: $held.settings, groups: $held.groups.clone() }.serialize(serializer)
            }
        }

        /// Fails as the constructor and `group` do.
        impl<'de, T: Scalar> Deserialize<'de> for $optimizer<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let Record { settings: $read, groups: $groups } = Record::<$settings>::deserialize(deserializer)?;
                let made: Result<Self> = $made;
                made.map_err(D::Error::custom)
            }
        }
    };
}

optimizer!(Adam, AdamSettings, self => self.0, (settings, groups) => moments(settings, groups).map(Self));
optimizer!(AdamW, AdamSettings, self => self.0, (settings, groups) => moments(settings, groups).map(Self));
optimizer!(Sgd, SgdSettings, self => self, (settings, groups) => Self::new(settings).and_then(|mut sgd| {
    sgd.groups = groups;
    sgd.checked()
}));
optimizer!(Soap, SoapSettings, self => self, (settings, groups) => Self::new(settings).and_then(|mut soap| {
    soap.groups = groups;
    soap.checked()
}));

fn moments<T: Scalar>(settings: AdamSettings, groups: Groups) -> Result<Moments<T>> {
    let mut moments = Moments::new(settings)?;
    moments.groups = groups;
    moments.checked()
}
