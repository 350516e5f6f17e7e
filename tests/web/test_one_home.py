"""Rule 1 of the architecture: whatever a service can do is reachable from REST and from GraphQL, or is listed here."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import crm_api
from crm_api.registry import DOMAINS

SOURCE = Path(crm_api.__file__).parent
COMMAND_LINE = "for operators, on the command line"
WORKER = "for the worker"
DOMAINS_ONLY = "for other domains, inside their own operations"
IMPORTS = "for imports, which are operations themselves"

NEITHER = {
    "AccountService.tenant": "what services ask about their own tenant",
    "CalendarService.hours": DOMAINS_ONLY,
    "CalendarService.begin": "for presets, when a tenant is made",
    "ClockPolicyService.begin": "for presets, when a tenant is made",
    "KeyService.create": COMMAND_LINE,
    "KeyService.revoke": COMMAND_LINE,
    "CustomerService.require_living": DOMAINS_ONLY,
    "CustomerService.owner_of": DOMAINS_ONLY,
    "CustomerOwnerService.hand_over": DOMAINS_ONLY,
    "AssignmentService.choose": DOMAINS_ONLY,
    "AssignmentService.desk": DOMAINS_ONLY,
    "AssignmentService.keep": DOMAINS_ONLY,
    "AssignmentService.present": DOMAINS_ONLY,
    "AssignmentService.take_over": DOMAINS_ONLY,
    "AssignmentService.is_active": DOMAINS_ONLY,
    "AssignmentService.require_active": DOMAINS_ONLY,
    "AssignmentService.assign_many": WORKER,
    "AssignmentService.serve_queue": WORKER,
    "AssignmentService.tell_presence": WORKER,
    "RebalancingService.propose_for": WORKER,
    "FollowUpService.plan_next": DOMAINS_ONLY,
    "FollowUpService.close_with": "for the one call, `ContactService.log`",
    "FollowUpService.cancel_plan": "for `FollowUpPlanService.update`, when a plan is archived",
    "FollowUpService.cancel_left": WORKER,
    "FollowUpService.follow": WORKER,
    "FollowUpService.release": WORKER,
    "FollowUpService.tell_overdue": WORKER,
    "FollowUpService.tell": WORKER,
    "ConsentService.may_send": "for everything that sends; on the surfaces it is `evaluate`",
    "ConsentService.may_send_many": "for everything that sends; on the surfaces it is `evaluate`",
    "ConsentService.require_guardian": DOMAINS_ONLY,
    "ConsentService.withdraw_all": DOMAINS_ONLY,
    "ConsentService.replayed": "a check that the ledger gives what stands, for tests and operators",
    "SubjectExportService.give_up": WORKER,
    "ErasureService.give_up": WORKER,
    "ErasureService.enqueue_again": WORKER,
    "ErasureService.refuse_while_pending": "for merges, by their hook",
    "CustomerService.refresh_search": DOMAINS_ONLY,
    "CustomerService.rekey": WORKER,
    "CandidateService.forget": WORKER,
    "CompanyService.rename": WORKER,
    "CandidateService.merge_undone": DOMAINS_ONLY,
    "DuplicateRunService.fail": WORKER,
    "CustomerService.resolve": DOMAINS_ONLY,
    "CustomerService.resolve_many": DOMAINS_ONLY,
    "CustomerService.resolve_and_tell": DOMAINS_ONLY,
    "CustomerBulkService.locate_many": DOMAINS_ONLY,
    "CustomerBulkService.find_or_make": DOMAINS_ONLY,
    "CustomerService.add_stranger": DOMAINS_ONLY,
    "CustomerService.name_placeholder": DOMAINS_ONLY,
    "ContactPointService.to_verify": DOMAINS_ONLY,
    "ContactPointService.verify": DOMAINS_ONLY,
    "ContactPointService.mend": DOMAINS_ONLY,
    "ContactPointService.pass_on": "for merges, which are operations themselves",
    "ContactPointService.give_back": "for merges, which are operations themselves",
    "ChannelService.send": DOMAINS_ONLY,
    "CustomerBulkService.import_many": IMPORTS,
    "CustomerBulkService.undo_many": IMPORTS,
    "CustomerBulkService.keys_of_many": IMPORTS,
    "HouseholdService.set_stages": "for presets, when a tenant is made",
    "ProductService.by_skus": DOMAINS_ONLY,
    "EventService.import_many": IMPORTS,
    "EventService.undo_many": IMPORTS,
    "ProductService.import_many": IMPORTS,
    "ProductService.undo_many": IMPORTS,
    "InteractionService.log_many": IMPORTS,
    "InteractionService.undo_many": IMPORTS,
    "LoyaltyService.open_many": IMPORTS,
    "LoyaltyService.undo_openings": IMPORTS,
    "OrderService.upsert_many": IMPORTS,
    "OrderService.refund_many": IMPORTS,
    "OrderService.undo_many": IMPORTS,
    "OrderService.undo_refunds": IMPORTS,
    "EventService.forget_expired": WORKER,
    "IdentificationService.go_on": WORKER,
    "IdentificationService.finish": WORKER,
    "InteractionService.require": DOMAINS_ONLY,
    "ComplaintService.open_or_get": DOMAINS_ONLY,
    "ComplaintService.due_to_close": WORKER,
    "ComplaintMessageService.note_told": "for `transition`, which keeps what the customer was told with a step",
    "ComplaintMessageService.resume": "for `transition`, when a case is un-merged",
    "ComplaintCauseService.preset": "for presets, when a tenant is made",
    "ComplaintSettingsService.preset": "for presets, when a tenant is made",
    "ClosingSettingsService.begin": "for presets, when a tenant is made",
    "TellingService.follow": WORKER,
    "TellingService.delivered": WORKER,
    "RatingService.plan": WORKER,
    "RatingService.ask_due": WORKER,
    "RatingService.expire": WORKER,
    "RatingService.delivered": WORKER,
    "RatingService.show": "second half of `ratings.show_by_link`, which customers call",
    "RatingService.answer_by_link": "second half of `ratings.answer_by_link`, which customers call",
    "CorrectiveActionService.tell_overdue": WORKER,
    "ComplaintService.replayed": "a check that the log gives the row, for tests and operators",
    "LoyaltyService.start_programme": "for presets, when a tenant is made",
    "GrantService.grant": DOMAINS_ONLY,
    "GrantService.release": DOMAINS_ONLY,
    "GrantService.take_back": DOMAINS_ONLY,
    "LoyaltyService.take_in": WORKER,
    "LoyaltyService.earn": WORKER,
    "LoyaltyService.reverse_for_refund": WORKER,
    "LoyaltyService.settle_due": WORKER,
    "VoucherService.issue": "for other domains, inside their own operations; on the surfaces it is `give`",
    "VoucherService.issue_for_occasion": WORKER,
    "VoucherService.settle_due": WORKER,
    "VoucherBatchService.step": WORKER,
    "VoucherBatchService.give_up": WORKER,
    "RewardRedemptionService.overdue": WORKER,
    "RewardRedemptionService.cancel_overdue": WORKER,
    "CompensationService.pay": WORKER,
    "CompensationService.give_up": WORKER,
    "BirthdayVoucherService.due": WORKER,
    "BirthdayVoucherService.step": WORKER,
    "EarningService.take_in": WORKER,
    "EarningService.complete": WORKER,
    "EarningService.events": WORKER,
    "EarningService.sign_ups": WORKER,
    "EarningService.birthdays": WORKER,
    "ExportService.fetch": "the first half of a download: `open_file` and `open_linked_file` send what it finds",
    "ExportService.listing_of": WORKER,
    "ExportService.give_up": WORKER,
    "ExportService.enqueue_again": WORKER,
    "ExportService.expire": WORKER,
    "SegmentService.fill": DOMAINS_ONLY,
    "ClassificationService.begin": "for presets, when a tenant is made",
    "ScoringService.prepare": WORKER,
    "ScoringService.score": WORKER,
    "ScoringService.assess": WORKER,
    "ScoringService.reckon_matrix": "for `ClassificationService.transitions`",
    "ScoringService.start_nightly": WORKER,
    "ScoringService.fail": WORKER,
    "PatternService.set_up": "for presets, when a tenant is made",
    "PatternService.refresh": WORKER,
    "PatternService.unite": "for merges, by their hook",
    "PatternService.start_nightly": WORKER,
    "PatternService.step": WORKER,
    "PatternService.give_up": WORKER,
    "ChurnModelService.prepare": WORKER,
    "ChurnModelService.note": WORKER,
    "ChurnModelService.write": WORKER,
    "ChurnModelService.finish": WORKER,
    "ChurnModelService.give_up": WORKER,
    "ImportService.give_up": WORKER,
    "ImportService.give_up_undo": WORKER,
    "ImportService.enqueue_again": WORKER,
    "CleanupService.step": WORKER,
    "CleanupService.give_up": WORKER,
    "DeliveryService.retry": WORKER,
    "SubmissionService.submit": "second half of `forms.service.submit`, which visitors call",
    "ChurnSettingsService.preset": "for presets, when a tenant is made",
    "ChurnAssessmentService.start_nightly": WORKER,
    "ChurnAssessmentService.prepare": WORKER,
    "ChurnAssessmentService.step": WORKER,
    "ChurnAssessmentService.reassess": WORKER,
    "ChurnModelService.reckon": WORKER,
    "ChurnAssessmentService.give_up": WORKER,
    "ChurnBacktestService.plan": "for `crm-api churn backtest`, which stores nothing",
    "ChurnBacktestService.prepare": WORKER,
    "ChurnBacktestService.progress": WORKER,
    "ChurnBacktestService.finish": WORKER,
    "ChurnBacktestService.give_up": WORKER,
    "AccountService.is_active": "a question that domains above ask of whoever is to own something",
    "AccountService.require_active": "the same question, with its refusal",
    "TierService.held_before": "for earning",
    "TierService.preset": "for presets, when a tenant is made",
    "TierService.require_code": "for domains above that ask for tiers: cadences, standards of contact",
    "TierService.current": "for domains above: what earns points, what is offered",
    "ReplayService.prepare": WORKER,
    "ReplayService.step": WORKER,
    "ReplayService.give_up": WORKER,
    "ReferralService.follow": WORKER,
    "ReferralService.due": WORKER,
    "ReferralService.settle": WORKER,
    "ReferralService.give_up": WORKER,
    "ReferralService.replayed": "a check that the log gives the row, for tests and operators",
    "DeliveryService.receive": "second half of `integrations.service.accept`, which POST /v1/inbound/{source_id} calls",
}
"""On no surface, deliberately."""

REST_ONLY = {
    "ComplaintReportService.pareto": "a picture; what it shows is GraphQL's `complaintStatistics { groups }`",
    "ClusteringService.picture": "a picture; what it shows is GraphQL's `clustering { picture }`",
    "ClassificationService.id_of": "a read: GraphQL's `classification(dimension:)` answers it from the projection",
    "ChurnModelService.picture": "a picture; its figures are the model's `cumulative`",
    "ImportService.upload": "takes a file as multipart, which GraphQL has no part in",
    "ImportService.errors": "a file to download",
    "SubjectExportService.fetch": "answers a zip archive, which GraphQL has no part in",
    "ImportService.create": "takes a file as multipart, which GraphQL has no part in",
    "OrderService.find": "a read: GraphQL's `orders(platform:, externalId:)` answers it from the projection",
    "PatternService.nothing_known": "a read: GraphQL's `customer { patterns }` is null then",
    "SegmentService.members": "a read: GraphQL's `segment { members }` answers it from the projection",
    "LoyaltyService.wallet_of": "a read: GraphQL's `loyaltyAccount { entries }` answers it from the projection",
}
"""On REST alone, deliberately."""


def operations():
    """Return the public methods of all services: ``Class.method``."""
    found = set()
    for domain in DOMAINS:
        folder = SOURCE / domain
        for path in folder.glob("*.py"):
            module = importlib.import_module(f"crm_api.{domain}.{path.stem}".removesuffix(".__init__"))
            for name, kind in inspect.getmembers(module, inspect.isclass):
                if name.endswith("Service") and kind.__module__ == module.__name__:
                    found |= {f"{name}.{each}" for each, value in vars(kind).items() if _public(each, value)}
    return found


def _public(name, value):
    return inspect.isfunction(value) and not name.startswith("_")


def called(surface):
    """Return the service methods that a surface's modules call: ``XService(unit).method``."""
    found = set()
    for domain in DOMAINS:
        for path in (SOURCE / domain).glob(f"{surface}*"):
            for file in [path] if path.suffix == ".py" else path.rglob("*.py"):
                found |= set(_calls(ast.parse(file.read_text(encoding="utf-8"))))
    return found


def _calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call):
            maker = node.value.func
            if isinstance(maker, ast.Name) and maker.id.endswith("Service"):
                yield f"{maker.id}.{node.attr}"


def test_there_are_services():
    assert len(operations()) > 40


def test_what_is_listed_is_there():
    assert {*NEITHER, *REST_ONLY} - operations() == set()


def test_every_operation_is_on_rest():
    assert operations() - called("rest") - NEITHER.keys() == set()


def test_every_operation_is_in_graphql():
    assert operations() - called("graphql") - NEITHER.keys() - REST_ONLY.keys() == set()


def test_no_exception_is_out_of_date():
    assert NEITHER.keys() & (called("rest") | called("graphql")) == set()
    assert REST_ONLY.keys() & called("graphql") == set()


@pytest.mark.parametrize(
    "field",
    [
        "type Customer implements Node",
        "orders(",
        "members(",
        "loyaltyAccount",
        "customerTimeline",
        "externalId: String",
    ],
)
def test_graphql_reads_what_rest_alone_computes(field):
    assert field in (SOURCE.parents[1] / "openapi" / "schema.graphql").read_text(encoding="utf-8")
