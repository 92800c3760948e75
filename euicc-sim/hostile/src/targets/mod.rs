//! The bodies of the targets, one a module.

pub(crate) mod apdu;
pub(crate) mod bpp;
pub(crate) mod certificate;
pub(crate) mod es10;
pub(crate) mod es9;
pub(crate) mod saip;
pub(crate) mod tlv;

use crate::Toy;
use crate::world::World;
use std::sync::{Arc, OnceLock};

/// The world of the targets: minted once, with the stand-in for cryptography.
pub(crate) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| World::mint(Arc::new(Toy::default()), 1))
}
