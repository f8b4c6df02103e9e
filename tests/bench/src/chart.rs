//! The results as a picture: bars, as SVG.

use std::fmt::Write as _;

use super::results::{Results, nodes, number};

const WIDTH: f64 = 760.0;
/// Where bars begin, and how long the longest one is.
const BARS_X: f64 = 200.0;
const BARS_WIDTH: f64 = 470.0;
const BAR_HEIGHT: f64 = 16.0;
const ROW_HEIGHT: f64 = 22.0;
const PANEL_GAP: f64 = 44.0;
const OURS: &str = "#0b7a75";
const OTHERS: &str = "#a8b0b8";

struct Panel {
    title: &'static str,
    unit: &'static str,
    bars: Vec<Bar>,
}

struct Bar {
    label: String,
    value: f64,
    is_ours: bool,
}

/// The chart of these results; panels without results are left out.
pub fn chart(results: &Results) -> String {
    let panels = panels(results);
    let bars: usize = panels.iter().map(|panel| panel.bars.len()).sum();
    let height = length(panels.len()) * PANEL_GAP + length(bars) * ROW_HEIGHT + 12.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#1f2328\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    let mut top = 0.0;
    for panel in &panels {
        panel.draw(top, &mut svg);
        top += PANEL_GAP + length(panel.bars.len()) * ROW_HEIGHT;
    }
    svg + "</svg>\n"
}

fn panels(results: &Results) -> Vec<Panel> {
    let is_ours = |function: &str| function == "relay";
    let cold =
        results.cold.iter().filter(|cold| cold.function != "noop-function").map(|cold| Bar {
            label: format!(
                "{}, {}",
                cold.function,
                cold.memory_mb.map_or("a whole core".to_owned(), |mb| format!("{mb} MB"))
            ),
            value: cold.total.p50_ms,
            is_ours: is_ours(cold.function),
        });
    let warm = |value: fn(&super::warm::Warm) -> f64| {
        let bars = results.warm.iter().map(|warm| Bar {
            label: format!("{}, {}", warm.function, nodes(warm.nodes)),
            value: value(warm),
            is_ours: is_ours(warm.function),
        });
        bars.collect::<Vec<_>>()
    };
    let end_to_end = results.end_to_end.iter().map(|end_to_end| Bar {
        label: end_to_end.way.to_owned(),
        value: end_to_end.delay.p50_ms,
        is_ours: is_ours(end_to_end.way),
    });
    // Memory is counted in bytes, far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    let megabytes = |warm: &super::warm::Warm| warm.memory_max_bytes as f64 / 1e6;
    let panels = [
        Panel {
            title: "Cold start: process start to first answer",
            unit: "ms",
            bars: cold.collect(),
        },
        Panel { title: "CPU time per event, warm", unit: "ms", bars: warm(|warm| warm.cpu_ms) },
        Panel { title: "Peak memory", unit: "MB", bars: warm(megabytes) },
        Panel { title: "Script's end to the next state", unit: "ms", bars: end_to_end.collect() },
    ];
    panels.into_iter().filter(|panel| !panel.bars.is_empty()).collect()
}

impl Panel {
    /// Each panel has a scale of its own.
    fn draw(&self, top: f64, svg: &mut String) {
        let max = self.bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
        let title_y = top + PANEL_GAP - 16.0;
        let _ = writeln!(
            svg,
            "<text x=\"12\" y=\"{title_y}\" font-weight=\"600\">{} ({})</text>",
            self.title, self.unit
        );
        for (row, bar) in self.bars.iter().enumerate() {
            let y = top + PANEL_GAP + length(row) * ROW_HEIGHT - 6.0;
            let text_y = y + BAR_HEIGHT - 4.0;
            let width = (bar.value / max * BARS_WIDTH).max(1.0);
            let (color, label) = (if bar.is_ours { OURS } else { OTHERS }, &bar.label);
            let label_x = BARS_X - 10.0;
            let value_x = BARS_X + width + 6.0;
            let value = number(bar.value);
            let _ = writeln!(
                svg,
                "<text x=\"{label_x}\" y=\"{text_y}\" text-anchor=\"end\">{label}</text>\
                 <rect x=\"{BARS_X}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR_HEIGHT}\" fill=\"{color}\"/>\
                 <text x=\"{value_x:.1}\" y=\"{text_y}\">{value}</text>"
            );
        }
    }
}

/// A small number of things as a length.
fn length(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
