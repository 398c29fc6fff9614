//! `antar apply`: changes a server to match manifests.

mod change;
mod manifest;
mod order;
mod prune;
mod report;
mod target;

use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::cli::client::options::ApiOptions;
use crate::cli::terminal::screen::Screen;
use crate::cli::terminal::usage::Usage;
use manifest::{Misread, Resource};
use report::Report;
use target::Target;

/// Makes a server look as the manifests say, and shows what changed.
///
/// A manifest is YAML with one document for each resource: `kind` (profile, tenant, secret, plugin,
/// event_type, webhook, source), `tenant`, and the resource's own fields, as the API has them.
/// They are applied in the order in which they depend on each other, whatever their order in the
/// files. What a document leaves out goes back to its default; only `enabled` of a webhook is left
/// alone when nothing is said of it.
///
/// A secret has `value_from: {env: NAME}` or `{file: PATH}`, a plugin `file: PATH` (uploaded when
/// it is not the newest version), and a webhook may have `secret_from` beside its fields. The value
/// of a secret is written each time. `tenant: null` puts an event type into the operator's catalog.
///
/// A new webhook's secret and a new source's URL are shown this once; in a pipe they are the fields
/// `secret` and `url` of their lines.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// A manifest, a folder (its .yaml and .yml files, none below), or - for standard input. May be
    /// repeated.
    #[arg(short, long, value_name = "FILE|DIR|-", required = true)]
    file: Vec<PathBuf>,
    /// Only show what would change.
    #[arg(long)]
    dry_run: bool,
    /// Then delete what the manifests don't name, of the kinds that they name, in the tenants that
    /// they name. Asks first. Tenants and profiles are never deleted.
    #[arg(long)]
    prune: bool,
    /// Answers the question of --prune with yes.
    #[arg(long, requires = "prune")]
    yes: bool,
    /// Sets the secrets of webhooks that are there already, from their `secret_from`, too.
    #[arg(long)]
    set_secrets: bool,
    #[command(flatten)]
    api: ApiOptions,
}

const EXAMPLES: &str = "\
Examples:
  antar apply -f examples/platforms
  antar apply -f crm.yaml --dry-run
  HUBSPOT_TOKEN=pat-… antar apply -f examples/crm/hubspot.yaml --tenant acme
  antar apply -f ./webhooks --prune

A manifest:
  kind: webhook
  name: crm-contacts
  event_types: [\"conversation.*\"]
  url: https://crm.example/contacts
  ---
  kind: secret
  name: crm_token
  value_from: {env: CRM_TOKEN}";

pub(super) async fn run(arguments: Arguments, screen: Screen) -> anyhow::Result<()> {
    let from_stdin = arguments.file.iter().any(|file| file.as_os_str() == "-");
    if arguments.prune && !arguments.yes && !arguments.dry_run && (from_stdin || !prune::can_ask())
    {
        return Err(Usage::error(
            "--prune asks before it deletes; where nobody can answer, add --yes",
        ));
    }
    let client = arguments.api.client()?;
    let resources = read(&arguments)?;
    let mut report = Report::new(screen, arguments.dry_run);
    let mut target = Target::new(&client, arguments.dry_run, arguments.set_secrets);
    apply(&resources, &mut target, &mut report).await;
    if arguments.prune && report.failed() == 0 {
        prune::prune(&resources, &mut target, arguments.yes, &mut report).await?;
    }
    report.summary();
    match report.failed() {
        0 => Ok(()),
        1 => bail!("one document was not applied"),
        count => bail!("{count} documents were not applied"),
    }
}

/// Reads all documents; fails with every error of every document.
fn read(arguments: &Arguments) -> anyhow::Result<Vec<Resource>> {
    let (mut resources, mut misread) = (Vec::new(), Vec::new());
    for file in &arguments.file {
        manifest::read(file, &arguments.api.tenant, &mut resources, &mut misread)?;
    }
    misread.extend(order::named_twice(&resources));
    if misread.is_empty() {
        return Ok(resources);
    }
    let errors: Vec<_> = misread.iter().map(Misread::to_string).collect();
    bail!("nothing was applied:\n  {}", errors.join("\n  "))
}

/// Reads the documents of one manifest without a server. Returns the kind and name of each valid one, and what is
/// wrong with the others. For tests that try out any text.
#[doc(hidden)]
#[must_use]
pub fn check_manifest(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut resources, mut misread) = (Vec::new(), Vec::new());
    manifest::parse("manifest", text, Path::new("."), "default", &mut resources, &mut misread);
    misread.extend(order::named_twice(&resources));
    let named = |resource: &Resource| format!("{} {}", resource.kind.as_str(), resource.name);
    (resources.iter().map(named).collect(), misread.iter().map(Misread::to_string).collect())
}

/// Applies phase after phase and stops after the first one with a failure.
async fn apply(resources: &[Resource], target: &mut Target<'_>, report: &mut Report) {
    for phase in order::phases(resources) {
        for step in &phase {
            match target.apply(step).await {
                Ok(Some(done)) => report.done(step.resource, done),
                Ok(None) => {}
                Err(error) => report.failure(step.resource, &error),
            }
        }
        if report.failed() > 0 {
            return;
        }
    }
}
