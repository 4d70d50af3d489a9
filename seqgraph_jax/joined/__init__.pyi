from .cells import GRAPH_CELLS as GRAPH_CELLS
from .events import EventGraph as EventGraph
from .events import event_graph as event_graph
from .forecaster import FORECASTERS as FORECASTERS
from .forecaster import Forecaster as Forecaster
from .graphs import graphs_in_time as graphs_in_time
from .layers import GraphRecurrent as GraphRecurrent
from .mixing import SignalLayer as SignalLayer
