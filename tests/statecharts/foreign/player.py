"""Nested, with history: the player resumes where it was, shallow for the mode and deep for the track in it."""

from statemachine import HistoryState, State, StateChart

from tests.statecharts.foreign import ran


class Player(StateChart):
    """A music player. It never ends."""

    class stopped(State.Compound, name="Stopped"):  # noqa: N801
        empty = State(initial=True)
        loaded = State(enter="show_title")
        insert = empty.to(loaded)

    class playing(State.Compound, name="Playing"):  # noqa: N801
        class album(State.Compound, name="Album"):  # noqa: N801
            first = State("First track", initial=True)
            middle = State("A middle track")
            last = State("Last track")
            following = first.to(middle) | middle.to.itself() | middle.to(last, cond="was_last_but_one")

        class radio(State.Compound, name="Radio"):  # noqa: N801
            tuning = State(initial=True)
            tuned = State()
            found = tuning.to(tuned)

        mode = album.to(radio) | radio.to(album)
        last_mode = HistoryState()
        last_mode.to(radio)
        last_track = HistoryState("Same track", type="deep")
        rewind = album.to(album.first, internal=True)
        seek = radio.to.itself()

    paused = State("Paused", enter="dim", exit="light_up")
    asleep = State("Asleep")

    play = stopped.loaded.to(playing) | paused.to(playing.last_track)
    pause = playing.to(paused)
    again = paused.to(playing.last_mode)
    stop = playing.to(stopped) | paused.to(stopped.loaded)
    tired = playing.to(asleep, on="fade") | paused.to(asleep) | stopped.to(asleep)
    wake = asleep.to(playing.last_track) | asleep.to(stopped)

    def show_title(self) -> None:
        ran("show_title")

    def dim(self) -> None:
        ran("dim")

    def light_up(self) -> None:
        ran("light_up")

    def fade(self) -> None:
        ran("fade")

    def was_last_but_one(self) -> bool:
        return ran("was_last_but_one")
