"""Every threshold, tier, channel and policy with its default: frozen, typed, validated.

`Deployment` is `lifecycle.yaml`, `Shop` is `shops/<shop>.yaml`. A shop needs name, timezone, currency, country and input;
everything else has a default. Groups are named after the documents (customer, routing, dispatch ...).
"""

from lifecycle_assets.settings.audiences import Audience
from lifecycle_assets.settings.clv import Clv
from lifecycle_assets.settings.customer import (
    Churn,
    ClvInputs,
    Customer,
    Loyalty,
    LoyaltySegments,
    LoyaltyWeights,
    Nps,
    Rfm,
    Stage,
)
from lifecycle_assets.settings.delivery import S3, Delivery, Webhook
from lifecycle_assets.settings.destinations import Braze, Destinations, Klaviyo, Sendgrid, Twilio
from lifecycle_assets.settings.forecasting import Forecasting, Promotion
from lifecycle_assets.settings.inputs import InputMapping, Inputs, LeaveOut, TableMapping
from lifecycle_assets.settings.posteriors import Posteriors
from lifecycle_assets.settings.products import CrossSell, Plan, Prices, Products, Recommendations, SimilarItems, Upsell
from lifecycle_assets.settings.reading import parse
from lifecycle_assets.settings.reports import Reports
from lifecycle_assets.settings.retention import Retention
from lifecycle_assets.settings.routing import (
    Cap,
    Channel,
    ChannelName,
    Experiment,
    Exploration,
    Measurement,
    MessageTemplate,
    Offer,
    Programme,
    Ranking,
    Routing,
    Step,
    WritingModel,
)
from lifecycle_assets.settings.rules import AllOf, Condition, Not, Rule, Scalar
from lifecycle_assets.settings.scores import RiskBands, Scores, Tiers
from lifecycle_assets.settings.segmentation import Insight, Segmentation
from lifecycle_assets.settings.shop import Alerts, Deployment, Shop, as_of_default
from lifecycle_assets.settings.uplift import Uplift

__all__ = [
    "S3",
    "Alerts",
    "AllOf",
    "Audience",
    "Braze",
    "Cap",
    "Channel",
    "ChannelName",
    "Churn",
    "Clv",
    "ClvInputs",
    "Condition",
    "CrossSell",
    "Customer",
    "Delivery",
    "Deployment",
    "Destinations",
    "Experiment",
    "Exploration",
    "Forecasting",
    "InputMapping",
    "Inputs",
    "Insight",
    "Klaviyo",
    "LeaveOut",
    "Loyalty",
    "LoyaltySegments",
    "LoyaltyWeights",
    "Measurement",
    "MessageTemplate",
    "Not",
    "Nps",
    "Offer",
    "Plan",
    "Posteriors",
    "Prices",
    "Products",
    "Programme",
    "Promotion",
    "Ranking",
    "Recommendations",
    "Reports",
    "Retention",
    "Rfm",
    "RiskBands",
    "Routing",
    "Rule",
    "Scalar",
    "Scores",
    "Segmentation",
    "Sendgrid",
    "Shop",
    "SimilarItems",
    "Stage",
    "Step",
    "TableMapping",
    "Tiers",
    "Twilio",
    "Uplift",
    "Upsell",
    "Webhook",
    "WritingModel",
    "as_of_default",
    "parse",
]
