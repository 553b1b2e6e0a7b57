//! One thread writes while all others compute; a short queue between them bounds the memory.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use lokr_core::Scalar;
use rayon::prelude::*;

use crate::merge::chunk::{Sums, merge_rows};
use crate::merge::guard::Expected;
use crate::merge::report::Measured;
use crate::merge::steps::{Applied, Steps};
use crate::{CheckpointError, FloatType, Result, Tensor, TensorWriter};

/// Elements computed as one task and written as one piece.
const CHUNK: usize = 1 << 20;
/// Pieces that may wait for the writer.
const QUEUE: usize = 4;

/// What the writing thread is told.
enum Message {
    /// The file that the next tensors belong to; the one before is complete.
    File(Box<TensorWriter>),
    Bytes(String, Vec<u8>),
    Copy(String, Tensor),
    /// The last file is complete. Without this message it is given up.
    Finish,
}

/// The way to the writing thread.
pub(crate) struct Output(SyncSender<Message>);

impl Output {
    /// The tensors that follow belong to this file.
    pub(crate) fn file(&self, writer: TensorWriter) -> Result<()> {
        self.send(Message::File(Box::new(writer)))
    }

    /// Passes a tensor on as it is.
    pub(crate) fn copy(&self, name: &str, tensor: Tensor) -> Result<()> {
        self.send(Message::Copy(name.to_owned(), tensor))
    }

    /// Computes a weight and passes it on, rows after rows.
    pub(crate) fn merge<T: Scalar>(
        &self,
        name: &str,
        base: &Tensor,
        kind: FloatType,
        applied: &[Applied<'_>],
    ) -> Result<Measured> {
        let steps = Steps::<T>::new(applied, base, kind)?;
        let expected = Expected::new(&steps)?;
        let rows = (CHUNK / steps.columns).clamp(1, steps.rows);
        let row_bytes = steps.columns * kind.size();
        let chunks: Vec<_> = base.bytes().chunks(rows * row_bytes).enumerate().collect();
        let mut sums = Sums::default();
        // As many at a time as there are threads: while they compute, the writer writes those before.
        for group in chunks.chunks(rayon::current_num_threads()) {
            let merged: Vec<_> = group
                .par_iter()
                .map(|&(index, bytes)| {
                    let first = index * rows;
                    merge_rows(&steps, &expected, kind, bytes, first..first + bytes.len() / row_bytes)
                })
                .collect();
            for chunk in merged {
                sums.append(chunk.sums);
                self.send(Message::Bytes(name.to_owned(), chunk.bytes))?;
            }
        }
        sums.finish(name, kind, &expected)
    }

    /// The last file is complete.
    pub(crate) fn finish(&self) -> Result<()> {
        self.send(Message::Finish)
    }

    /// Fails only when the writer has stopped, whose own error is then the one reported.
    fn send(&self, message: Message) -> Result<()> {
        self.0.send(message).map_err(|_| CheckpointError::Interrupted)
    }
}

/// Runs `compute` beside a thread that writes what it is given. The writer's error comes first: it is why `compute` stopped.
pub(crate) fn with_writer<R>(compute: impl FnOnce(Output) -> Result<R>) -> Result<R> {
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(QUEUE);
        let writing = scope.spawn(move || write(&receiver));
        let result = compute(Output(sender));
        match writing.join() {
            Ok(written) => written.and(result),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn write(receiver: &Receiver<Message>) -> Result<()> {
    let mut current: Option<Box<TensorWriter>> = None;
    while let Ok(message) = receiver.recv() {
        match (message, &mut current) {
            (Message::Bytes(name, bytes), Some(writer)) => writer.write(&name, &bytes)?,
            (Message::Copy(name, tensor), Some(writer)) => writer.write(&name, tensor.bytes())?,
            (Message::File(next), current) => {
                if let Some(complete) = current.replace(next) {
                    complete.finish()?;
                }
            }
            (Message::Finish, current) => {
                if let Some(complete) = current.take() {
                    complete.finish()?;
                }
            }
            (Message::Bytes(..) | Message::Copy(..), None) => {}
        }
    }
    Ok(())
}
