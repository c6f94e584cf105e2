//! Video: frames with their media times in, one verdict a person and one report out.
//!
//! Where the frames come from (a decoder, a `<video>` element, a camera) and who judges a face is the caller's business;
//! everything here takes values, so page and program share it, bit for bit:
//!
//! 0. [`container`]: whether a file is a video at all;
//! 1. [`sampling`]: which frames are looked at, told before the work starts;
//! 2. [`thumbnail`]: frame -> small picture in colour and [`grey`](crate::grey);
//! 3. [`scene`] cuts and [`motion`] between two of them; [`quality`](crate::quality) of what is judged;
//! 4. [`region`]s that are judged; [`track`]: faces -> people;
//! 5. [`temporal`]: a person's P(fake) over time, smoothed, and how consistent it is;
//! 6. [`verdict`]: real, fake or uncertain, for each person and the whole, or undetermined;
//! 7. [`report`] with [`latency`]: the one result;
//! 8. [`analysis`]: all of it in order.

pub mod analysis;
pub mod container;
pub mod latency;
pub mod motion;
pub mod region;
pub mod report;
pub mod sampling;
pub mod scene;
pub mod temporal;
pub mod thumbnail;
pub mod track;
pub mod verdict;

pub use analysis::{Analysis, AnalysisConfig, JudgedFace};
pub use container::Container;
pub use region::Region;
pub use report::VideoReport;
pub use sampling::{SamplingConfig, SamplingPlan};
