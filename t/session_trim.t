#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A log that many sessions read has what the slowest one needs, in whatever
# worker they are and however they come to move: by acknowledging, by ending,
# by unsubscribing.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 17;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 2, listen => 'reuseport');
$t->run;

my $redis = $t->redis;
my $publisher = $t->client;
my @others = map { session("other-$_") } 1 .. 30;

# away, with all of it to be read

my $slow = session('slow');
$slow->disconnect;
released('slow');

MqttTest::Client->publish_many([ $publisher ], count => 800, qos => 1,
                               topic => 'a/b', payload => sub { $_[1] },
                               window => 10);

is(read_all(30 * 800, @others), 30 * 800, 'the others have all');
is(stored(), 800, 'the slow one needs it');
ok(wait_for { tally() == 30 }, 'the others do not');

# it reads some

$slow = session('slow', auto_ack => 0);
$slow->expect('PUBLISH', payload => $_) for 0, 1;
is(stored(), 800, 'sent is not acknowledged');

$slow->send(PUBACK => packet_id => 1);
$slow->send(PUBACK => packet_id => 2);
ok(wait_for { stored() == 798 }, 'two are acknowledged');

# it comes back to another one of the slowest: a new one, who needs nothing

my $new = session('new');
is(stored(), 798, 'a new one');
$slow->abort;
released('slow');

$slow = session('slow');
is(read_all(798, $slow), 798, 'it reads the others');
ok(wait_for { stored() == 0 }, 'nobody needs anything');
is(scalar(() = $redis->keys('test:{f:a/+}?')), 0, 'and nothing is there');

# the slow one ends, or unsubscribes

for my $how (qw/ ends unsubscribes /) {
    $slow->disconnect;
    released('slow');

    $publisher->publish_wait('a/b', $_, qos => 1) for 1 .. 20;

    is(read_all(31 * 20, @others, $new), 31 * 20, 'messages for all');
    $slow = session('slow', auto_ack => 0);
    wait_for { tally() == 31 } or diag('the others have not moved');

    $how eq 'ends'
        ? $slow->disconnect(props => [ [ session_expiry => 0 ] ])
        : $slow->send(UNSUBSCRIBE => packet_id => 1, filters => [ 'a/+' ]);

    ok(wait_for { stored() == 0 }, "$how: nobody needs them");

    $slow = session('slow') if $how eq 'ends';
}

is($t->total('messages_discarded'), 0, 'nothing was discarded');

for my $c (@others, $new, $slow) {
    $c->disconnect(props => [ [ session_expiry => 0 ] ]);
}

ok(wait_for { !$redis->keys('test:{f:*') }, 'the log ends');

###############################################################################

sub session {
    my ($id, %options) = @_;

    my $c = $t->client(%options, client_id => $id, clean => 0,
                       props => [ [ session_expiry => 600 ] ]);

    $c->subscribe('a/+' => 1) if !$c->connack->{session_present};

    return $c;
}


# how many messages they get, and no more for a while

sub read_all {
    my ($wanted, @clients) = @_;

    my $n = 0;
    my $count = sub { $n++ if $_[1]{type} eq 'PUBLISH' };

    MqttTest::Client->pump(\@clients, timeout => 30, on_packet => $count,
                           until => sub { $n >= $wanted });

    my $end = now() + 0.3;

    MqttTest::Client->pump(\@clients, on_packet => $count,
                           until => sub { now() > $end });

    return $n;
}


sub released {
    my ($id) = @_;

    wait_for { ($redis->command('HGET', "test:{c:$id}", 'o') // '') eq '' } 5
        or die "$id is not released\n";
}


sub stored { return $redis->command('LLEN', 'test:{f:a/+}l') }
sub tally  { return $redis->command('HGET', 'test:{f:a/+}c', 'a') // 0 }

###############################################################################
