//! A video file without a player: file -> the frames that are due, as fast as they decode, in a worker of their own.
//!
//! [`boxes`]: the index of an MP4, found and cut down to what is needed; [`film`]: what it says of the video; [`samples`]: where
//! each frame lies, and when it is shown; [`slices`]: bytes of the file; [`codecs`]: the browser's decoder; [`worker`]: which
//! frames are handed out.
//!
//! Whatever is unusual is refused, and the page plays the file instead: fragments, encryption, edits, stretched pixels. So a
//! frame has the same media time either way.

pub mod boxes;
pub mod codecs;
pub mod film;
pub mod samples;
pub mod slices;
pub mod worker;

/// Why a file is not for this way; the page plays it instead, and says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    /// It is no MP4, or none that is whole and plain.
    #[error("the file is not for this way: {0}")]
    Odd(&'static str),
    /// The library that reads the index says so.
    #[error("the index does not read: {0}")]
    Index(String),
    /// The browser does not decode it.
    #[error("the browser does not decode it: {0}")]
    Codec(String),
}
