"""Parallel regions that end one by one; the engine raises an event when all have ended."""

from statemachine import State, StateChart

from tests.statecharts.foreign import ran


class Breakfast(StateChart):
    """Tea, an egg and toast, all at once."""

    idle = State(initial=True)

    class cooking(State.Parallel, name="Cooking", enter="light_stove", exit="put_out_stove"):  # noqa: N801
        class tea(State.Compound, name="Tea"):  # noqa: N801
            boiling = State(initial=True)
            drawing = State()
            poured = State(final=True)
            whistle = boiling.to(drawing)
            minutes_over = drawing.to(poured, cond="In('hard')") | drawing.to(None, on="wait_for_egg")

        class egg(State.Compound, name="Egg"):  # noqa: N801
            soft = State(initial=True)
            hard = State(final=True)
            minutes_over = soft.to(hard)

        class toast(State.Compound, name="Toast"):  # noqa: N801
            white = State(initial=True)
            brown = State()
            out = State(final=True)
            burnt = State()
            minutes_over = white.to(brown)
            pop = brown.to(out, unless="jammed")
            smoke = brown.to(burnt) | white.to(burnt)
            brown.to(burnt, cond="forgotten")

    class served(State.Compound, name="Served"):  # noqa: N801
        eating = State(initial=True)
        finished = State(final=True)
        eat = eating.to(finished)

    cleared = State(final=True)
    fire = State("FIRE!", final=True)

    begin = idle.to(cooking)
    done_state_cooking = cooking.to(served, on="lay_table")
    done_state_served = served.to(cleared)
    alarm = cooking.to(fire) | served.to(fire)
    error_execution = cooking.to(fire, on="shout")

    def light_stove(self) -> None:
        ran("light_stove")

    def put_out_stove(self) -> None:
        ran("put_out_stove")

    def wait_for_egg(self) -> None:
        ran("wait_for_egg")

    def lay_table(self) -> None:
        ran("lay_table")

    def shout(self) -> None:
        ran("shout")

    def jammed(self) -> bool:
        return not ran("jammed")

    def forgotten(self) -> bool:
        return ran("forgotten")
