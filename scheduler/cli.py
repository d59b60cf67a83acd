"""The `dovetail` command: one function per verb, each importing what it needs only when it runs."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="dovetail",
    help="Places pods on devices by topology, fragmentation and load, for Kubernetes Dynamic Resource Allocation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def run(
    kubeconfig: Annotated[Path | None, typer.Option(help="Default: $KUBECONFIG, then in-cluster.")] = None,
    config: Annotated[Path | None, typer.Option(help="SchedulerConfig file; default: built-in settings.")] = None,
) -> None:
    """Schedule the pods of a live cluster."""
    from scheduler.service.run import main as serve

    raise typer.Exit(serve(kubeconfig, config))


@app.command()
def simulate(
    files: Annotated[list[Path], typer.Argument(help="Kubernetes YAML or JSON; - reads standard input.")],
    output: Annotated[str, typer.Option("-o", "--output", help="table, yaml or json.")] = "table",
    config: Annotated[Path | None, typer.Option(help="SchedulerConfig file.")] = None,
    first_fit: Annotated[bool, typer.Option("--first-fit", help="Take the first devices that fit.")] = False,
    fleet: Annotated[str, typer.Option(help="Machines beside them: '2 dgx-h100, 1 l4-pcie, with NICs'.")] = "",
) -> None:
    """Run the scheduler on objects from files; exit 1 when a pod stays pending, 2 on bad input."""
    from scheduler.core.errors import ConfigError
    from scheduler.simulator.command import simulate as run_simulation

    settings = None
    if config is not None:
        from scheduler.service.settings import load

        try:
            settings = load(config).engine()
        except ConfigError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(2) from error
    raise typer.Exit(run_simulation(files, output, settings, first_fit=first_fit, fleet=fleet))


@app.command()
def demo() -> None:
    """Place bundled inference workloads on a bundled cluster, beside first-fit device choice."""
    from scheduler.simulator.demo import demo as run_demo

    raise typer.Exit(run_demo())


config_app = typer.Typer(help="Check a SchedulerConfig file, or see what it changes.", no_args_is_help=True)
app.add_typer(config_app, name="config")


@config_app.command("check")
def config_check(
    file: Annotated[Path, typer.Argument(help="SchedulerConfig file; - reads standard input.")],
    show: Annotated[bool, typer.Option("--show", help="Print what comes out of it, defaults and all.")] = False,
) -> None:
    """Say whether a file can be used, and print the hash of what it comes to; exit 2 when it cannot."""
    from scheduler.service.check import check

    raise typer.Exit(check(file, show=show))


@config_app.command("diff")
def config_diff(
    file: Annotated[Path, typer.Argument(help="SchedulerConfig file, the new one.")],
    record: Annotated[Path, typer.Option(help="What `dovetail run` wrote to record.path.")],
    last: Annotated[int, typer.Option(min=1, help="How many decisions to look at, the newest.")] = 1_000,
    output: Annotated[str, typer.Option("-o", "--output", help="text or json.")] = "text",
) -> None:
    """Take the last decisions again under a new file, and show which placements move; exit 2 on bad input."""
    from scheduler.service.diff import OUTPUTS, diff

    if output not in OUTPUTS:
        raise typer.BadParameter(f"{output}: is not one of {', '.join(OUTPUTS)}")
    raise typer.Exit(diff(file, record, last, output))


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON schema of a SchedulerConfig file."""
    from scheduler.service.check import SCHEMA

    typer.echo(SCHEMA.read_text(encoding="utf-8"), nl=False)


@app.command()
def audit(
    paths: Annotated[list[str] | None, typer.Argument(help="Files or folders; - reads standard input.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Read the workloads of a cluster, without changing it.")] = False,
    form: Annotated[str, typer.Option("--format", help="table, json, sarif or markdown.")] = "table",
    fail_on: Annotated[str, typer.Option("--fail-on", help="info, warning, error or never.")] = "warning",
    kubeconfig: Annotated[Path | None, typer.Option(help="Default: $KUBECONFIG, then in-cluster.")] = None,
) -> None:
    """Say what manifests or a cluster gain from DRA and what is wrong in them; exit 1 on findings, 2 on bad input."""
    from scheduler.audit.command import audit as run_audit

    if bool(paths) == live:
        typer.echo("audit: name files, or --live for a cluster, and not both", err=True)
        raise typer.Exit(2)
    if not live:
        raise typer.Exit(run_audit(paths or (), form, fail_on))
    from scheduler.core.errors import ConfigError, printable
    from scheduler.service.survey import survey

    try:
        found, unread = survey(kubeconfig)
    except ConfigError as error:
        typer.echo(printable(str(error)), err=True)
        raise typer.Exit(2) from error
    raise typer.Exit(run_audit((), form, fail_on, found, unread))


@app.command()
def migrate(
    path: Annotated[str, typer.Argument(help="A file or folder; - reads standard input.")],
    out: Annotated[Path, typer.Option("--out", help="A new folder for the result.")],
    mode: Annotated[str, typer.Option(help="claims, or extended: DRA behind the resource names.")] = "claims",
    patch: Annotated[bool, typer.Option("--patch", help="Write a kustomize component instead.")] = False,
    check: Annotated[Path | None, typer.Option(help="Objects of a cluster: simulate before and after.")] = None,
) -> None:
    """Rewrite manifests for DRA, comments kept; exit 1 when something needs a human, 2 on bad input."""
    from scheduler.audit.migrating.command import migrate as run_migration
    from scheduler.core.errors import InputError, printable

    try:
        if check is None:
            raise typer.Exit(run_migration(path, out, mode, patch=patch))
        from functools import partial

        from scheduler.simulator.comparison import compare

        raise typer.Exit(run_migration(path, out, mode, patch=patch, compare=partial(compare, check)))
    except InputError as error:
        typer.echo(printable(str(error)), err=True)
        raise typer.Exit(2) from error


plan_app = typer.Typer(help="Plan what to put on a fleet.", no_args_is_help=True)
app.add_typer(plan_app, name="plan")


@plan_app.command("share")
def plan_share(
    models: Annotated[Path, typer.Option("--models", help="The models, and what each of their replicas needs.")],
    fleet: Annotated[list[Path], typer.Option("--fleet", help="Nodes, ResourceSlices, DeviceClasses and claims.")],
    form: Annotated[str, typer.Option("--format", help="table, json or yaml.")] = "table",
    out: Annotated[Path | None, typer.Option("--out", help="A new folder for the claims.")] = None,
) -> None:
    """Pack small models on few GPUs and write their claims; exit 1 when one has no place, 2 on bad input."""
    from scheduler.sharing.command import share

    raise typer.Exit(share(models, fleet, form, out))


@app.command()
def readiness(
    paths: Annotated[list[str] | None, typer.Argument(help="What --record wrote, or objects; - reads it.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Ask a cluster, without changing it.")] = False,
    record: Annotated[Path | None, typer.Option(help="With --live: write what was read to this file.")] = None,
    form: Annotated[str, typer.Option("--format", help="table, json or markdown.")] = "table",
    only: Annotated[list[str] | None, typer.Option("--for", help="Only this family of examples; repeatable.")] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="Default: $KUBECONFIG, then in-cluster.")] = None,
) -> None:
    """Say what a cluster has and lacks for DRA and the examples; exit 1 when something is missing, 2 on bad input."""
    from scheduler.core.errors import ConfigError, printable
    from scheduler.readiness.command import readiness as run_readiness

    if bool(paths) == live or (record is not None and not live):
        typer.echo("readiness: name files, or --live for a cluster, and --record only with --live", err=True)
        raise typer.Exit(2)
    if not live:
        raise typer.Exit(run_readiness(paths or (), form, only or ()))
    from scheduler.service.reading import read_cluster

    try:
        found = read_cluster(kubeconfig)
    except ConfigError as error:
        typer.echo(printable(str(error)), err=True)
        raise typer.Exit(2) from error
    raise typer.Exit(run_readiness((), form, only or (), found, record))


@app.command()
def doublebook(
    paths: Annotated[list[str] | None, typer.Argument(help="Objects of a cluster; - reads them.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Ask a cluster, without changing it.")] = False,
    form: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    kubeconfig: Annotated[Path | None, typer.Option(help="Default: $KUBECONFIG, then in-cluster.")] = None,
) -> None:
    """Find devices held twice, overdrawn counters and capacity, plugins beside drivers; exit 1 if there are any."""
    from scheduler.core.errors import ConfigError, printable
    from scheduler.doublebook.command import doublebook as run_doublebook

    if bool(paths) == live:
        typer.echo("doublebook: name files, or --live for a cluster, and not both", err=True)
        raise typer.Exit(2)
    if not live:
        raise typer.Exit(run_doublebook(paths or (), form))
    from scheduler.service.reading import read_claims

    try:
        objects, unread = read_claims(kubeconfig)
    except ConfigError as error:
        typer.echo(printable(str(error)), err=True)
        raise typer.Exit(2) from error
    raise typer.Exit(run_doublebook((), form, objects, unread))


@app.command()
def extender(
    config: Annotated[Path | None, typer.Option(help="SchedulerConfig file; default: built-in settings.")] = None,
) -> None:
    """Serve scores over gRPC to other schedulers, as extender.grpc says; needs no cluster."""
    from scheduler.service.extend import main as serve

    raise typer.Exit(serve(config))


@app.command()
def explain(
    pod: Annotated[str, typer.Argument(help="NAMESPACE/POD")],
    file: Annotated[list[Path] | None, typer.Option("--file", "-f", help="Simulate these objects instead.")] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="Default: $KUBECONFIG, then in-cluster.")] = None,
) -> None:
    """Say why a pod is where it is, or why it is pending."""
    if file:
        from scheduler.simulator.command import explain as explain_simulated

        raise typer.Exit(explain_simulated(pod, file))
    from scheduler.service.explain import explain as explain_live

    raise typer.Exit(explain_live(pod, kubeconfig))


def main() -> None:
    """Entry point of the console script."""
    app()
