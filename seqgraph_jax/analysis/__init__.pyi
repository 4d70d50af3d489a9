from . import receptive_fields as receptive_fields
from .formulas import FORMULAS as FORMULAS
from .gates import Gates as Gates
from .gates import lstm_gates as lstm_gates
from .gates import saturation as saturation
from .gradients import carry_jacobians as carry_jacobians
from .gradients import gradient_flow as gradient_flow
from .gradients import step_contributions as step_contributions
