#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Shared subscriptions with persistent sessions at two nodes: what is stored
# goes to whoever comes, at either node, once; a node without members tells the
# other one; a member takes what another node has left behind.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Nodes;
use MqttTest::Util qw/ now slow /;
use MqttTest::Workers;
use Test::More tests => 11;

###############################################################################

my ($first, $second) = two_nodes(workers => 2, server => <<'END');
        mqtt_send_window 5;
END

my $filter = '$share/g/jobs/+';
my $publisher = $first->client(version => 4);

# made at one node, away, and back at the other one

my $c = member($first, 'moving');
$c->subscribe($filter => 1);
$c->disconnect;

publish(1 .. 12);

$c = member($second, 'moving');
is($c->connack->{session_present}, 1, 'at the other node');

my %got = collect(12, c => $c);
is("@{ $got{c} }", '1 2 3 4 5 6 7 8 9 10 11 12', 'what was stored, in order');

# members at the other node only: at once, not when it looks by itself

wanted($first, $second, $filter);
my $start = now();

for (1 .. 20) {
    publish($_);
    %got = collect(1, c => $c);
}

is("@{ $got{c} }", '20', 'what comes then');
cmp_ok(now() - $start, '<', slow(2), 'at once');

# at both: a backlog is shared, none comes twice

$c->disconnect;
publish(1 .. 200);

my $other = member($first, 'other');
$other->subscribe($filter => 1);
$c = member($second, 'moving');

%got = collect(200, c => $c, other => $other);
is_deeply([ sort { $a <=> $b } map { @$_ } values %got ], [ 1 .. 200 ],
          'a backlog comes once');

# what a member at one node leaves behind

$other->disconnect;
$c->disconnect;

$c = member($second, 'moving', 0);
publish(1 .. 8);
%got = collect(5, c => $c);
is("@{ $got{c} }", '1 2 3 4 5', 'a window full at one node');

$other = member($first, 'other');
%got = collect(3, other => $other);
is("@{ $got{other} }", '6 7 8', 'the others at the other one');

wanted($second, $first, $filter);
$start = now();

$c->disconnect;
%got = collect(5, other => $other);
cmp_ok(now() - $start, '<', slow(1), 'those that are left behind, at once');
is("@{ $got{other} }", '1 2 3 4 5', 'all of them');

ok(wait_for { !$first->redis->keys('*{f:*}[lpq]') }, 'all is acknowledged');

$other->disconnect(props => [ [ session_expiry => 0 ] ]);
member($first, 'moving')->disconnect(props => [ [ session_expiry => 0 ] ]);
ok(wait_for { !$first->redis->keys('*{f:*') }, 'the log ends');

###############################################################################

sub member {
    my ($t, $id, $ack) = @_;

    return $t->client(version => 5, client_id => $id, clean => 0,
                      auto_ack => $ack // 1,
                      props => [ [ session_expiry => 100 ] ]);
}


sub publish {
    $publisher->publish_wait("jobs/$_", $_, qos => 1) for @_;
}

###############################################################################
