use super::canvas::PAPER;
use super::layout::BAR;
use super::*;

const NAMES: [&str; 4] =
    ["a", "layers.17.self_attn.q_proj", "b & <c>\u{1b}", "lora_unet_down_blocks_1_attentions_0_ff"];

fn rows(count: usize, value: impl Fn(usize) -> Option<f64>) -> Vec<Row<'static>> {
    let row = |i: usize| Row { name: NAMES[i % 4], value: value(i), mark: value(i).map(|value| value / 2.0) };
    (0..count).map(row).collect()
}

fn plot(rows: Vec<Row<'_>>) -> Plot<'_> {
    let title = "adapter.safetensors: how much each module changes".to_owned();
    Plot { title, axis: "Frobenius norm ‖ΔW‖F", marks: Some("spectral norm ‖ΔW‖2"), rows }
}

/// Width, height and pixels.
fn decode(file: &[u8]) -> (usize, usize, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(pixels.len(), 3 * info.width as usize * info.height as usize);
    (info.width as usize, info.height as usize, pixels)
}

/// No text or bar reaches the margin, however long names and numbers are and however many there are.
#[test]
fn nothing_is_clipped() {
    let long = "x".repeat(1000);
    let extremes = [
        rows(0, |_| None),
        rows(1, |_| Some(1.0)),
        rows(5, |_| Some(9.9999e-301)),
        rows(700, |i| Some(1.5e300 / (i + 1) as f64)),
        rows(4, |i| [None, Some(f64::NAN), Some(f64::INFINITY), Some(0.0)][i]),
        vec![Row { name: &long, value: Some(1234.0), mark: None }],
    ];
    for rows in extremes {
        let count = rows.len();
        let (width, height, pixels) = decode(&plot(rows).draw(Format::Png).unwrap());
        let margin = 12;
        let drawn = |x: usize, y: usize| pixels[3 * (y * width + x)..][..3] != PAPER;
        let inside =
            |x: usize, y: usize| (margin..width - margin).contains(&x) && (margin..height - margin).contains(&y);
        let places = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        assert!(places().all(|(x, y)| inside(x, y) || !drawn(x, y)), "{count} rows");
        assert!(places().any(|(x, y)| drawn(x, y)), "{count} rows");
    }
}

/// The bar of half the value has half the length.
#[test]
fn bars_are_as_long_as_their_values() {
    let one = |value| {
        vec![Row { name: "a", value: Some(value), mark: None }, Row { name: "b", value: Some(4.0), mark: None }]
    };
    let count = |value| {
        let (_, _, pixels) = decode(&Plot { marks: None, ..plot(one(value)) }.draw(Format::Png).unwrap());
        pixels.as_chunks::<3>().0.iter().filter(|pixel| **pixel == BAR).count()
    };
    let (none, half, whole) = (count(0.0), count(2.0), count(4.0));
    assert_eq!(whole - none, none);
    // One column of pixels is the axis'.
    assert!((2 * (half - none)).abs_diff(none) <= 48, "{half} of {whole}");
}

#[test]
fn svg_names_every_module_and_is_well_formed() {
    let rows = rows(4, |i| Some(i as f64));
    let svg = String::from_utf8(plot(rows).draw(Format::Svg).unwrap()).unwrap();
    for name in ["layers.17.self_attn.q_proj", "b &amp; &lt;c&gt;\\u{1b}", "Frobenius norm ‖ΔW‖F", "spectral norm"]
    {
        assert!(svg.contains(name), "{name}: {svg}");
    }
    assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && !svg.contains("NaN"));
}

#[test]
fn the_ending_says_the_format() {
    for (name, format) in [("a.svg", Format::Svg), ("a.SVG", Format::Svg), ("b/a.png", Format::Png)] {
        assert_eq!(Format::of(Path::new(name)).unwrap(), format);
    }
    for name in ["a.jpg", "a", "svg", ".png", "a.png.gz"] {
        assert!(matches!(Format::of(Path::new(name)), Err(CliError::Extension { .. })), "{name}");
    }
}
