"""Who we are in AWS, and what we and our jobs may do there."""

import os
import re
from datetime import UTC, datetime, timedelta

from bank_marketing.errors import PlatformError
from platforms.sagemaker import checks
from platforms.sagemaker.roles import SAGEMAKER, trust_policy
from stacks.doctor.check import Finding, ok, problem, unknown
from stacks.files import StackFile

MOST_SKEW = timedelta(minutes=5)  # an older or newer signature is refused (Signature Version 4)

_ROLE = re.compile(r"arn:aws[\w-]*:iam::(?P<account>\d{12}):role/(?:[^/]+/)*(?P<name>[^/]+)")


class AccessLooks:
    """Looks at the caller, and at the role that it hands to jobs."""

    def __init__(self, stack: StackFile, account: checks.Account) -> None:
        self._is_emulated = stack.emulated
        self._account = account
        self._role_arn = str(stack.components["orchestrator"].config.get("execution_role"))

    def region(self) -> Finding:
        regions = checks.sagemaker_regions()
        if self._account.region in regions:
            return ok(self._account.region)
        area = self._account.region.partition("-")[0]
        near = sorted(name for name in regions if name.startswith(f"{area}-")) or sorted(regions)
        return problem(
            f"botocore knows no SageMaker in {self._account.region!r}, but in {', '.join(near)}",
            f"export AWS_REGION={near[0]}",
        )

    def clock(self) -> Finding:
        try:
            time = self._account.caller.time
        except PlatformError as error:
            refused_at = checks.refused_at(error)
            if refused_at is None:
                return unknown("no answer of AWS to compare with", "see credentials")
            time = refused_at
        skew = datetime.now(UTC) - time
        side = "ahead of" if skew > timedelta() else "behind"
        found = f"{abs(skew).total_seconds():.0f} s {side} AWS"
        if abs(skew) < MOST_SKEW:
            return ok(found)
        return problem(
            f"{found}, which refuses more than {MOST_SKEW.seconds:.0f} s",
            "sudo timedatectl set-ntp true",
        )

    def credentials(self) -> Finding:
        try:
            return ok(f"{self._account.caller.arn} in account {self._account.caller.account}")
        except PlatformError as error:
            return problem(str(error), self._credential_remedy(error))

    def _credential_remedy(self, error: PlatformError) -> str:
        if self._is_emulated:
            return "python run.py emulator up"
        profile = os.environ.get("AWS_PROFILE")
        option = f" --profile {profile}" if profile else ""
        return {
            "missing": "aws configure sso, then export AWS_PROFILE=NAME",
            "expired": f"aws sso login{option}",
            "unreachable": "check the network, and that AWS_ENDPOINT_URL is not set by mistake",
            "refused": f"aws configure{option}",
        }[checks.credential_trouble(error)]

    def sagemaker(self) -> Finding:
        try:
            self._account.require_sagemaker()
        except PlatformError as error:
            return problem(
                str(error),
                f"let {self._account.caller.arn} use sagemaker:* in {self._account.region}",
            )
        return ok(f"answers in {self._account.region}")

    def role(self) -> Finding:
        arn, account = self._role_arn, self._account.caller.account
        parts = _ROLE.fullmatch(arn)
        if parts is None:
            return problem(f"{arn!r} is not the ARN of a role", "set SAGEMAKER_ROLE_ARN to one")
        if parts["account"] != account:
            return problem(
                f"{arn} is not of account {account}, and cannot be handed over",
                f"set SAGEMAKER_ROLE_ARN to a role of account {account}",
            )
        role = self._account.role(parts["name"])
        if role is None:
            return problem(
                f"there is no role {parts['name']}",
                f"aws iam create-role --role-name {parts['name']} "
                f"--assume-role-policy-document '{trust_policy()}'",
            )
        if role.arn != arn:
            return problem(
                f"there is no {arn}, but {role.arn}", f"export SAGEMAKER_ROLE_ARN={role.arn}"
            )
        if SAGEMAKER not in role.trusted:
            return problem(
                f"{role.arn} lets {', '.join(sorted(role.trusted)) or 'no service'} take it on, "
                f"not {SAGEMAKER}",
                f"aws iam update-assume-role-policy --role-name {parts['name']} "
                f"--policy-document '{trust_policy()}'",
            )
        return ok(f"{role.arn}, for {SAGEMAKER}")

    def pass_role(self) -> Finding:
        return self._handing_over(self._account.caller.arn)

    def role_passes_itself(self) -> Finding:
        """Look at what each job of a pipeline, and each that a step submits, begins with."""
        return self._handing_over(self._role_arn)

    def _handing_over(self, who: str) -> Finding:
        decision = self._account.pass_role_decision(who, self._role_arn)
        if decision == "allowed":
            return ok(f"{who} may hand the role to SageMaker")
        return problem(
            f"{who} may not hand {self._role_arn} to SageMaker: {decision}",
            f"allow {who} iam:PassRole on {self._role_arn}",
        )
