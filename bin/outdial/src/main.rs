//! The command `outdial`; see `outdial --help`.

fn main() -> std::process::ExitCode {
    outdial::cli::main()
}
