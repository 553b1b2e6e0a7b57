//! What the examples share: dense arithmetic to compare with, checks and times, and the paper that pictures are drawn
//! on.

pub mod dense;
pub mod measure;
pub mod paper;
