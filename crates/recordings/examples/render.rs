//! Renders a capture: `cargo run -p outdial-recordings --example render -- CAPTURE OUT.ogg`.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

#[expect(clippy::print_stdout, reason = "a program for the command line")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(capture), Some(output)) = (arguments.next(), arguments.next()) else {
        return Err("usage: render CAPTURE OUT.ogg".into());
    };
    let capture = Path::new(&capture);
    let title = capture.file_stem().unwrap_or_default().to_string_lossy();
    let file = BufWriter::new(File::create(&output)?);
    let rendered = outdial_recordings::render(capture, file, &title, None, || false)?;
    println!("{output}: {:.1?} from {}", rendered.duration, rendered.begins_at);
    if let Some(gaps) = rendered.gaps {
        println!("missing: {gaps}");
    }
    Ok(())
}
