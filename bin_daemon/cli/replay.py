"""`bin-daemon replay`: what the detector makes of a recorded clip, as a video to look at or as lines to score."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bin_daemon.errors import ConfigError

if TYPE_CHECKING:
    from bin_daemon.config import PlacementSettings
    from bin_daemon.domain import TrayOutcome
    from bin_daemon.technician.replay_clip import Condition, Recording
    from bin_daemon.technician.replay_files import Files


def replay(
    clip: Annotated[Path, typer.Argument(help="Video that OpenCV reads (mp4, avi, mkv, ...) or a folder of pictures.")],
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Annotated video (.mp4, .avi, .mkv, .webm); default: CLIP.replay.mp4. The strip lies beside it."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per outcome on stdout; no video unless --out is given.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Take region and thresholds from here; default: built-in ones."),
    ] = None,
    roi: Annotated[
        str | None, typer.Option(metavar="X,Y,W,H", help="Region to watch: fractions of the picture, or pixels.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=0.1, max=1000, help="Frame rate where the clip does not say; default 15.")
    ] = None,
) -> None:
    """Show what the detector thinks of a clip: mask, box, state and margins over the video, a picture strip of each outcome.

    Needs no config and no lid reports: an item that vanishes counts as fallen. The clip should begin with an empty tray.
    """
    from bin_daemon.technician.replay_clip import open_recording

    with open_recording(clip, fps=fps) as recording:
        settings = _settings(config, roi, recording.size)
        try:
            if as_json and out is None:
                told = _tell(recording, settings, None, as_json=True)
            else:
                told = _draw(recording, settings, out or default_out(clip), as_json=as_json)
        except KeyboardInterrupt:
            print("Stopped; the files hold all that was looked at.", file=sys.stderr)
            raise typer.Exit(130) from None
    for note in _notes(recording.condition):
        print(note, file=sys.stderr)
    if not told and not as_json:
        print("No outcome: the detector saw nothing come to rest, no hand, and a sound picture.")


def default_out(clip: Path) -> Path:
    """Beside the clip."""
    path = clip.expanduser()
    return path.with_name(f"{path.resolve().name if path.is_dir() else path.stem}.replay.mp4")


def _settings(config: Path | None, roi: str | None, size: tuple[int, int]) -> PlacementSettings:
    from bin_daemon.config import PlacementSettings, load_settings
    from bin_daemon.technician.roi import parse_roi

    settings = load_settings(config).placement if config else PlacementSettings()
    return settings if roi is None else settings.model_copy(update={"roi": parse_roi(roi, size)})


def _draw(recording: Recording, settings: PlacementSettings, out: Path, *, as_json: bool) -> int:
    from bin_daemon.technician.replay_clip import check_name
    from bin_daemon.technician.replay_files import open_files

    out = out.expanduser()
    check_name(out)
    if out.exists() and recording.path.exists() and out.samefile(recording.path):
        raise ConfigError(f"{out}: this is the clip itself", hint="give --out another name")
    with open_files(out, recording.fps, recording.size) as files:
        told = _tell(recording, settings, files, as_json=as_json)
    # Paths are for people: with --json, stdout holds nothing but outcomes.
    print(
        f"Video: {out}", *(f"Strip: {x}" for x in files.strips.written), sep="\n", file=sys.stderr if as_json else None
    )
    return told


def _tell(recording: Recording, settings: PlacementSettings, files: Files | None, *, as_json: bool) -> int:
    """Print outcomes as they come; returns how many."""
    from bin_daemon.cli.print_json import print_json
    from bin_daemon.technician.replay import as_json as as_object
    from bin_daemon.technician.replay import think
    from bin_daemon.technician.replay_draw import Drawing

    drawing = Drawing(settings, recording.size)
    told = 0
    for thought in think(recording.frames(), settings):
        if files:
            files.add(drawing.draw(thought), thought)
        for outcome in thought.outcomes:
            told += 1
            if as_json:
                print_json(as_object(outcome))
            else:
                _print_line(outcome)
    return told


def _print_line(outcome: TrayOutcome) -> None:
    box = "" if outcome.box is None else "  at {} {}, {} x {}".format(*outcome.box)
    print(f"{outcome.t_s:9.2f} s  frame {outcome.frame_seq:6d}  {outcome.kind.value}{box}", flush=True)


def _notes(condition: Condition) -> list[str]:
    """What was wrong with the clip."""
    found = {
        "frame{} could not be read and passed over": condition.broken,
        "frame{} of those that the file promises are missing: it is damaged or was cut short": condition.missing,
        "frame{} had no usable time: the frame rate was used": condition.odd_times,
        "frame{} are the one before once more": condition.doubled,
    }
    return [f"Note: {count} {text.format('' if count == 1 else 's')}." for text, count in found.items() if count]
