//! Shapes in messages, and what is probably meant by an argument of another shape.

/// The text of [`KronError::Shape`](crate::KronError::Shape) after the operation's name.
///
/// Batches are named by the symbols of this project, `x`, `y`, `dx` and `dy`, one sample per row. Their number of rows
/// is free where only the columns are wrong.
pub(crate) fn shape_text(argument: &str, expected: (usize, usize), found: (usize, usize)) -> String {
    let is_batch = matches!(argument, "x" | "y" | "dx" | "dy");
    let hint = if is_batch && expected.0 == found.0 { batch_hint(expected.1, found) } else { None };
    match hint {
        Some(hint) => {
            format!("{argument} has shape {found:?}, expected (…, {}), one sample per row: {hint}", expected.1)
        }
        None if found == (expected.1, expected.0) => {
            format!("{argument} has shape {found:?}, expected {expected:?}: is it transposed?")
        }
        None => format!("{argument} has shape {found:?}, expected {expected:?}"),
    }
}

/// The shapes of a product's factors.
pub(crate) fn factors_text(shapes: &[(usize, usize)]) -> String {
    shapes.iter().map(|shape| format!("{shape:?}")).collect::<Vec<_>>().join(" ⊗ ")
}

/// For a batch whose rows should have `width` values.
fn batch_hint(width: usize, (rows, cols): (usize, usize)) -> Option<String> {
    if rows == width {
        return Some("if its columns are the samples, pass its transpose, `.t()`".into());
    }
    let values = rows.checked_mul(cols).filter(|&values| values > 0 && width > 0 && values.is_multiple_of(width))?;
    match values / width {
        1 if cols < width => Some(format!("flatten the {rows} × {cols} field into one row of {width} values")),
        samples if cols > 1 && width.is_multiple_of(cols) => {
            let height = width / cols;
            Some(format!("flatten its {samples} fields of {height} × {cols} into rows of {width} values"))
        }
        samples if cols.is_multiple_of(width) => {
            Some(format!("its {values} values make {samples} rows of {width}, if several samples lie in a row"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::KronError;
    use ndarray::Array2;

    fn text(argument: &'static str, expected: (usize, usize), found: (usize, usize)) -> String {
        KronError::Shape { operation: "apply", argument, expected, found }.to_string()
    }

    #[test]
    fn a_batch_that_was_turned_or_not_flattened_is_told_so() {
        let rows = "expected (…, 480), one sample per row";
        for (found, hint) in [
            ((480, 24), "if its columns are the samples, pass its transpose, `.t()`"),
            ((480, 1), "if its columns are the samples, pass its transpose, `.t()`"),
            ((24, 20), "flatten the 24 × 20 field into one row of 480 values"),
            ((240, 20), "flatten its 10 fields of 24 × 20 into rows of 480 values"),
            ((2, 960), "its 1920 values make 4 rows of 480, if several samples lie in a row"),
        ] {
            let expected = format!("apply: x has shape {found:?}, {rows}: {hint}");
            assert_eq!(text("x", (found.0, 480), found), expected);
        }
    }

    #[test]
    fn nothing_is_made_up_where_the_sizes_suggest_nothing() {
        assert_eq!(text("x", (1, 480), (1, 481)), "apply: x has shape (1, 481), expected (1, 480)");
        assert_eq!(text("x", (3, 2), (3, 0)), "apply: x has shape (3, 0), expected (3, 2)");
        assert_eq!(text("y", (3, 2), (4, 2)), "apply: y has shape (4, 2), expected (3, 2)");
        assert_eq!(text("w", (6, 24), (6, 4)), "apply: w has shape (6, 4), expected (6, 24)");
        assert_eq!(text("w", (6, 4), (4, 6)), "apply: w has shape (4, 6), expected (6, 4): is it transposed?");
        let huge = (usize::MAX, 2);
        assert_eq!(text("x", (huge.0, 5), huge), format!("apply: x has shape {huge:?}, expected {:?}", (huge.0, 5)));
    }

    #[test]
    fn the_error_of_an_operator_has_the_hint() {
        let k = crate::test_support::kron_of::<f64>(2, 24, 3, 20);
        let error = k.apply(&Array2::zeros((24, 20))).unwrap_err().to_string();
        assert!(error.ends_with("flatten the 24 × 20 field into one row of 480 values"), "{error}");
    }
}
