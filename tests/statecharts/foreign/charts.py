"""All foreign charts."""

from tests.statecharts.foreign.barrier import Barrier
from tests.statecharts.foreign.breakfast import Breakfast
from tests.statecharts.foreign.claim import Claim
from tests.statecharts.foreign.download import Download
from tests.statecharts.foreign.player import Player

FOREIGN = (Barrier, Breakfast, Claim, Download, Player)
