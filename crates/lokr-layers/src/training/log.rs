//! A file with a line for each step.

use std::fmt::{self, Write as _};
use std::io::Write;

use super::progress::{EpochReport, Progress, StepReport};
use crate::error::{LayerError, Result};

/// A line for each step and each epoch of a run: CSV for spreadsheets, JSON lines for programs.
///
/// | column | in lines of steps | of epochs |
/// |---|---|---|
/// | `kind` | `step` | `epoch` |
/// | `epoch`, from 1 | its epoch | its number |
/// | `step`, from 1 | its number in the run | |
/// | `loss` | of the batch, before the step | mean over the epoch |
/// | `learning_rate`, `gradient_norm` | of the step | |
/// | `validation_loss`, `validation_accuracy` | | after the epoch |
/// | `seconds`, `seconds_left` | since the start, until the end | |
///
/// What there is not is left out: an empty field in CSV, no key in JSON. A number that is not finite is written as it
/// is in CSV and as `null` in JSON. The writer is flushed after each epoch.
///
/// # Examples
/// ```
/// use lokr_layers::{Activation, Dense, MeanSquaredError, Samples, Sgd, Targets, Trainer, TrainingLog};
/// use ndarray::array;
///
/// let mut network = Dense::from_arrays(array![[1.0]], array![0.0], Activation::Identity)?;
/// let (x, t) = (array![[1.0], [2.0]], array![[2.0], [4.0]]);
/// let samples = Samples::new(&x, Targets::Values(t.view()))?;
/// let mut file = Vec::new(); // or a std::fs::File behind a std::io::BufWriter
/// Trainer::new(MeanSquaredError)
///     .batch_size(2)
///     .log(TrainingLog::csv(&mut file))
///     .fit(&mut network, &mut Sgd::new(0.1)?, &samples)?;
/// let text = String::from_utf8_lossy(&file);
/// assert!(text.starts_with("kind,epoch,step,loss,learning_rate,gradient_norm,"));
/// assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("step,1,1,2.5,0.1,")));
/// assert_eq!(text.lines().nth(2), Some("epoch,1,,2.5,,,,,,"));
/// # Ok::<(), lokr_layers::LayerError>(())
/// ```
pub struct TrainingLog<'a> {
    writer: Box<dyn Write + 'a>,
    format: Format,
    /// The current line. Its memory is kept.
    line: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// The header is still to be written.
    CsvWithHeader,
    Csv,
    JsonLines,
}

/// One field of a line, if it has a value.
type Field = (&'static str, Option<Value>);

#[derive(Debug, Clone, Copy)]
enum Value {
    Text(&'static str),
    Count(usize),
    Number(f64),
}

impl<'a> TrainingLog<'a> {
    fn new(writer: impl Write + 'a, format: Format) -> Self {
        Self { writer: Box::new(writer), format, line: String::new() }
    }

    /// Comma-separated values, with a line of names first.
    pub fn csv(writer: impl Write + 'a) -> Self {
        Self::new(writer, Format::CsvWithHeader)
    }

    /// Comma-separated values without a line of names: to go on with the file of a run that is resumed.
    pub fn csv_without_header(writer: impl Write + 'a) -> Self {
        Self::new(writer, Format::Csv)
    }

    /// An object of JSON on each line.
    pub fn json_lines(writer: impl Write + 'a) -> Self {
        Self::new(writer, Format::JsonLines)
    }

    /// Writes one line, and none for what is neither a step nor an epoch.
    ///
    /// # Errors
    /// [`LayerError::Output`].
    pub fn write(&mut self, progress: &Progress) -> Result<()> {
        let fields = match progress {
            Progress::Step(report) => of_step(report),
            Progress::Epoch(report) => of_epoch(report),
            Progress::Batch { .. } => return Ok(()),
        };
        self.line.clear();
        // Writing to a `String` cannot fail.
        let _ = match self.format {
            Format::CsvWithHeader => self.header(&fields).and_then(|()| self.csv_line(&fields)),
            Format::Csv => self.csv_line(&fields),
            Format::JsonLines => self.json_line(&fields),
        };
        let written = self.writer.write_all(self.line.as_bytes());
        let is_epoch = matches!(progress, Progress::Epoch(_));
        let done = written.and_then(|()| if is_epoch { self.writer.flush() } else { Ok(()) });
        done.map_err(|error| LayerError::Output { what: "training log", message: error.to_string() })
    }

    fn header(&mut self, fields: &[Field]) -> fmt::Result {
        self.format = Format::Csv;
        for (i, (name, _)) in fields.iter().enumerate() {
            write!(self.line, "{}{name}", if i == 0 { "" } else { "," })?;
        }
        writeln!(self.line)
    }

    fn csv_line(&mut self, fields: &[Field]) -> fmt::Result {
        for (i, (_, value)) in fields.iter().enumerate() {
            self.line.push_str(if i == 0 { "" } else { "," });
            match value {
                Some(Value::Text(text)) => self.line.push_str(text),
                Some(Value::Count(count)) => write!(self.line, "{count}")?,
                Some(Value::Number(number)) => write!(self.line, "{number:?}")?,
                None => {}
            }
        }
        writeln!(self.line)
    }

    fn json_line(&mut self, fields: &[Field]) -> fmt::Result {
        let mut before = '{';
        for (name, value) in fields {
            let Some(value) = value else { continue };
            write!(self.line, "{before}\"{name}\":")?;
            match value {
                Value::Text(text) => write!(self.line, "\"{text}\"")?,
                Value::Count(count) => write!(self.line, "{count}")?,
                Value::Number(number) if number.is_finite() => write!(self.line, "{number:?}")?,
                Value::Number(_) => self.line.push_str("null"),
            }
            before = ',';
        }
        writeln!(self.line, "}}")
    }
}

fn of_step(report: &StepReport) -> [Field; 10] {
    let number = |value: f64| Some(Value::Number(value));
    [
        ("kind", Some(Value::Text("step"))),
        ("epoch", Some(Value::Count(report.epoch))),
        ("step", Some(Value::Count(report.step))),
        ("loss", number(report.loss)),
        ("learning_rate", number(report.learning_rate)),
        ("gradient_norm", report.gradient_norm.and_then(number)),
        ("validation_loss", None),
        ("validation_accuracy", None),
        ("seconds", number(report.elapsed.as_secs_f64())),
        ("seconds_left", number(report.time_left.as_secs_f64())),
    ]
}

fn of_epoch(report: &EpochReport) -> [Field; 10] {
    let number = |value: f64| Some(Value::Number(value));
    [
        ("kind", Some(Value::Text("epoch"))),
        ("epoch", Some(Value::Count(report.epoch))),
        ("step", None),
        ("loss", number(report.loss)),
        ("learning_rate", None),
        ("gradient_norm", None),
        ("validation_loss", report.validation.and_then(|validation| number(validation.loss))),
        ("validation_accuracy", report.validation.and_then(|validation| validation.accuracy).and_then(number)),
        ("seconds", None),
        ("seconds_left", None),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::training::Evaluation;

    fn step(loss: f64, gradient_norm: Option<f64>) -> Progress {
        Progress::Step(StepReport {
            epoch: 2,
            batch: 1,
            batches: 3,
            step: 4,
            steps: 6,
            loss,
            learning_rate: 1e-3,
            gradient_norm,
            elapsed: Duration::from_millis(1500),
            time_left: Duration::from_secs(3),
        })
    }

    fn epoch(validation: Option<Evaluation>) -> Progress {
        Progress::Epoch(EpochReport { epoch: 2, loss: 0.25, validation })
    }

    fn written(log: impl FnOnce(&mut Vec<u8>) -> TrainingLog<'_>, progress: &[Progress]) -> String {
        let mut file = Vec::new();
        let mut log = log(&mut file);
        progress.iter().for_each(|progress| log.write(progress).unwrap());
        drop(log);
        String::from_utf8(file).unwrap()
    }

    #[test]
    fn csv_has_a_header_and_as_many_fields_in_each_line() {
        let both = Evaluation { loss: 0.5, accuracy: Some(0.75) };
        let batch = Progress::Batch { epoch: 1, batch: 1, batches: 1, loss: 1.0 };
        let progress = [step(0.5, Some(2.0)), batch, step(f64::NAN, None), epoch(Some(both)), epoch(None)];
        let text = written(|file| TrainingLog::csv(file), &progress);
        let lines: Vec<&str> = text.lines().collect();
        let names =
            "kind,epoch,step,loss,learning_rate,gradient_norm,validation_loss,validation_accuracy,seconds,seconds_left";
        assert_eq!(lines[0], names);
        assert_eq!(lines[1], "step,2,4,0.5,0.001,2.0,,,1.5,3.0");
        assert_eq!(lines[2], "step,2,4,NaN,0.001,,,,1.5,3.0");
        assert_eq!(lines[3], "epoch,2,,0.25,,,0.5,0.75,,");
        assert_eq!(lines[4], "epoch,2,,0.25,,,,,,");
        assert!(lines.len() == 5 && lines.iter().all(|line| line.matches(',').count() == 9));
        let text = written(|file| TrainingLog::csv_without_header(file), &progress[..1]);
        assert_eq!(text, "step,2,4,0.5,0.001,2.0,,,1.5,3.0\n");
    }

    #[test]
    fn json_lines_leave_out_what_there_is_not() {
        let progress = [step(f64::INFINITY, Some(1e-300)), epoch(Some(Evaluation { loss: 0.5, accuracy: None }))];
        let text = written(|file| TrainingLog::json_lines(file), &progress);
        let expected = concat!(
            r#"{"kind":"step","epoch":2,"step":4,"loss":null,"learning_rate":0.001,"gradient_norm":1e-300,"#,
            r#""seconds":1.5,"seconds_left":3.0}"#,
            "\n",
            r#"{"kind":"epoch","epoch":2,"loss":0.25,"validation_loss":0.5}"#,
            "\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_writer_that_fails_is_an_error() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("no space left"))
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let error = TrainingLog::csv(Full).write(&epoch(None)).unwrap_err();
        assert_eq!(error.to_string(), "cannot write the training log: no space left");
    }
}
