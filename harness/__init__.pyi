"""The public surface, on one page: what a plugin, a notebook or a script needs, by one import."""

# Run, and look at what a run found.
from .api import run as run
from .api import load as load
from .report.results import Results as Results

# What a plugin derives from, and how it is registered.
from .core.base import Method as Method
from .core.modifier import Modifier as Modifier
from .core.base import Attack as Attack
from .core.base import Analysis as Analysis
from .core.benchmark import Benchmark as Benchmark
from .plugins.hookspecs import hookimpl as hookimpl
from .plugins.hookspecs import Register as Register

# Its settings.
from .core.config import Config as Config
from .core.config import MethodConfig as MethodConfig
from .core.config import ModifierConfig as ModifierConfig
from .core.config import AttackConfig as AttackConfig
from .core.config import AnalysisConfig as AnalysisConfig
from .core.config import FinetuneConfig as FinetuneConfig
from .core.config import EpochsConfig as EpochsConfig
from .core.config import BenchmarkConfig as BenchmarkConfig
from .core.config import Field as Field
from .engine.pretrained import Pretrained as Pretrained
from .core.config import File as File
from .core.config import Directory as Directory
from .core.config import validator as validator

# What it is handed: its job, the model's tokenizer, batches of texts.
from .core.jobs import UnlearningJob as UnlearningJob
from .core.jobs import Step as Step
from .core.jobs import AttackJob as AttackJob
from .core.jobs import AnalysisJob as AnalysisJob
from .core.tokenizer import PromptTokenizer as PromptTokenizer
from .core.batch import Batch as Batch
from .core.batch import TokenBatch as TokenBatch
from .core.batch import Encoded as Encoded
from .core.batch import Stage as Stage
from .core.batch import IGNORED as IGNORED
from .core.batch import answer_tokens as answer_tokens
from .core.keys import fixed_random as fixed_random

# What a benchmark holds, asks and measures.
from .core.types import Fact as Fact
from .core.types import Question as Question
from .core.types import Splits as Splits
from .core.types import Example as Example
from .core.types import Training as Training
from .core.types import Prompt as Prompt
from .core.types import Request as Request
from .core.types import LogLikelihood as LogLikelihood
from .core.types import Generate as Generate
from .core.types import Beginning as Beginning
from .core.types import TokenScores as TokenScores
from .core.types import Measure as Measure
from .core.types import Sample as Sample
from .core.types import Reported as Reported
from .core.types import Finding as Finding
from .core.formulas import formula as formula
from .core.formulas import KNOWLEDGE as KNOWLEDGE
from .core.formulas import GOODNESS as GOODNESS

# Errors that a user can fix.
from .errors import HarnessError as HarnessError
from .errors import ConfigError as ConfigError
from .errors import DataError as DataError
from .errors import ModelError as ModelError
from .errors import PluginError as PluginError
from .errors import StoreError as StoreError

# Modules, by their short names, wherever they live.
from .model import attribution as attribution
from .model import lens as lens
from .model import losses as losses
from .model import models as models
from .model import neurons as neurons
from .model import outputs as outputs
from .model import sharding as sharding
from .scoring import metrics as metrics
from .scoring import membership as membership
