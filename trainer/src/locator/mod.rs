//! Training of the face locator: pictures with boxes -> scenes -> a network -> a folder that the engine loads.
//!
//! One step a file: [`config`]; [`labels`] by another detector, kept; [`portrait`]s, decoded; [`scene`]s of them over
//! [`background`]s, [`varied`](vary); [`targets`] of each cell; the [`loss`]; the loop, [`learn`]; [`agreement`] of boxes
//! with a reference, in training and of whole sets ([`evaluate`]); [`write`], the folder.

pub mod config;
pub mod labels;
pub mod portrait;
mod background;
mod vary;
pub mod scene;
pub mod targets;
pub mod loss;
pub mod agreement;
pub mod learn;
pub mod evaluate;
pub mod folder;
pub mod write;
