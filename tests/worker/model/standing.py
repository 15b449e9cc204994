"""A model of a few lines that says, from facts alone, where a worker has to stand. It does not use the charts."""

from dataclasses import dataclass, field

from connect import ConnectionState


@dataclass
class Standing:
    """The facts, and what follows once everything that can happen by itself has happened."""

    api_up: bool
    """Start requests are granted."""
    flush_up: bool = True
    acks: bool = True
    """The gateway confirms replies."""
    link: bool = False
    """There is a current link."""
    drained: bool = False
    """Its gateway is closing."""
    ever: bool = False
    """There has been a link."""
    closing: bool = False
    """A shutdown was asked for."""
    hurried: bool = False
    """User code was cancelled."""
    over: bool = False
    work: set[str] = field(default_factory=set)
    """Ids of requests whose function runs."""
    owed: set[str] = field(default_factory=set)
    """Ids of requests whose reply is not delivered."""
    answered: set[str] = field(default_factory=set)
    """Ids of requests whose reply was delivered."""
    lost: set[str] = field(default_factory=set)
    """Ids of requests that the server took away."""

    def settle(self) -> None:
        """Let everything happen that happens by itself."""
        if self.api_up and not self.over and (self.drained or not self.link):
            self.link, self.drained, self.ever = True, False, True
        if self.flush_up or (self.acks and self.link):
            self.answered |= self.owed
            self.owed.clear()
        if self.closing and not (self.ever and (self.work or self.owed)):
            self.end()

    def lose_link(self) -> None:
        """The current link is gone."""
        self.link = self.drained = False

    def end(self) -> None:
        """The worker is closed for good."""
        self.over = self.closing = True
        self.lose_link()

    @property
    def state(self) -> tuple[ConnectionState, tuple[str, ...]]:
        """The worker's state and substates."""
        if self.over:
            return ConnectionState.CLOSED, ()
        if self.closing:
            return ConnectionState.DRAINING, ("STOPPING",)
        if self.drained:
            return ConnectionState.DRAINING, ("REPLACING",)
        if self.link:
            return ConnectionState.ACTIVE, ()
        return (ConnectionState.RECONNECTING if self.ever else ConnectionState.CONNECTING), ()

    @property
    def takes_work(self) -> bool:
        """Whether the gateway may give it work."""
        return self.state[0] is ConnectionState.ACTIVE

    @property
    def takes_nothing_strange(self) -> bool:
        """Whether it has work and a link but must not take more."""
        return self.closing and self.link and bool(self.work) and bool(self.answered | self.lost)

    @property
    def dials(self) -> bool:
        """Whether a link is being made."""
        return not self.over and (self.drained or not self.link)

    @property
    def open(self) -> set[str]:
        """Ids of the requests that the worker answers for."""
        return set() if self.over else self.work | self.owed
