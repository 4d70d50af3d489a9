from . import classes as classes
from . import curves as curves
from . import flows as flows
from . import gates as gates
from . import graphs as graphs
from . import messages as messages
from . import neighbourhoods as neighbourhoods
from . import texts as texts
